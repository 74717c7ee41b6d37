"""Whether the disk has room for a run: told before it begins, from what the last one took.

A run writes a whole new release beside the current one. In the warehouse it replaces table by
table, so that for a while both versions of some are there; what DuckDB spills comes on top.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster_project.config.source import Source
from dagster_project.errors import FULL, WinbackError, read, tells_of_a_full_disk
from dagster_project.loading.files import find_files
from dagster_project.paths import SourcePaths
from dagster_project.standing import what_stands

# A release of next to nothing, with its pages, and the warehouse of it: measured on a shop of 350
# lines, 9 and 21 MB.
SMALLEST_BYTES = 32_000_000
# Of the files' bytes a first run takes, at least and at most: text shrinks, packed files grow.
LEAST_SHARE, MOST_SHARE = 0.5, 4


def check_room(paths: SourcePaths, source: Source) -> str | None:
    """Return a warning if the disk may become full in this run, None if it has room enough.

    Raises:
        WinbackError: What a run writes at the least has no room.
    """
    least, most = needed(paths, source)
    free = shutil.disk_usage(paths.warehouse_dir).free
    if free >= most:
        return None
    room = f"{_size(free)} are free on the disk of {paths.data_dir}"
    if free >= least:
        return (
            f"{room}, and this run may need up to {_size(most)} for a while; if the disk becomes "
            f"full, the run fails. {what_stands(paths)}"
        )
    raise WinbackError(
        f"{room}, and this run needs {_size(least)} at the least ({least:,} bytes; free: {free:,})."
        f" Nothing was begun. Free space there, then run again.{_hint(paths)}"
    )


@contextmanager
def telling_of_a_full_disk(paths: SourcePaths, source: Source) -> Iterator[None]:
    """Say of a failure for want of room how much a run needs, and what stands.

    Raises:
        WinbackError: in place of such a failure, if the disk of the data directory is what is full.
    """
    try:
        yield
    except Exception as error:
        fault = read(error)
        if not tells_of_a_full_disk(str(fault)):
            raise
        free = shutil.disk_usage(paths.warehouse_dir).free
        try:
            _, most = needed(paths, source)
        except WinbackError:
            raise error from None
        if free >= most:
            raise
        told = WinbackError(
            f"{FULL}: {paths.data_dir} had no room left for what the run wrote. "
            f"{what_stands(paths)} What the run had begun is removed, after which {_size(free)} "
            f"are free; a run may need {_size(most)}. Free the rest there, then run again."
            f"{_hint(paths)}"
        )
        told.details = fault.details
        raise told from error


def needed(paths: SourcePaths, source: Source) -> tuple[int, int]:
    """Return how many bytes a run takes, at the least and at the most, but for what is spilled."""
    release, warehouse = _bytes([paths.current.resolve()]), _bytes([paths.warehouse])
    if release and warehouse:
        return release, release + warehouse
    patterns = [pattern for table in source.tables.values() for pattern in table.files]
    landed = _bytes(file.path for file in find_files(patterns, paths.landing))
    return SMALLEST_BYTES + int(LEAST_SHARE * landed), SMALLEST_BYTES + MOST_SHARE * landed


def _hint(paths: SourcePaths) -> str:
    """Return what can be deleted, with its size."""
    former = [one for one in _entries(paths.releases) if one != paths.current.resolve()]
    many = "1 former release" if len(former) == 1 else f"{len(former)} former releases"
    held = {
        f"{many} (lower `kept_releases` in the source's file)": former,
        f"what blocked runs left in {paths.blocked}": [paths.blocked],
        f"what past runs left in {paths.dagster_home} (lower `kept_days`, `kept_runs`)": [
            paths.dagster_home
        ],
    }
    sizes = {what: _bytes(folders) for what, folders in held.items()}
    told = [f"{what}: {_size(size)}" for what, size in sizes.items() if size >= 1_000_000]
    return f" This source holds {'; '.join(told)}." if told else ""


def _bytes(places: Iterable[Path]) -> int:
    """Return how many bytes files and folders hold; what is gone meanwhile counts nothing."""
    total = 0
    for place in places:
        files = [place] if place.is_file() else place.rglob("*")
        for file in files:
            try:
                total += os.lstat(file).st_size
            except FileNotFoundError:
                continue
    return total


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1000
    return f"{count:.1f} TB"
