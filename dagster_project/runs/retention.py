"""What past runs leave is kept for so many days and of so many last runs; the rest is deleted."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg
from dagster import DagsterRunStatus

from dagster_project.files import TEMPORARY, delete, remove
from dagster_project.gates.verdicts import prune_verdicts
from dagster_project.paths import SourcePaths
from dagster_project.runs.bookkeeping import START_UP
from dagster_project.runs.locking import has_died

FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
# SQLite uses freed pages again; only a file that is mostly empty is worth writing anew.
WORTH_SHRINKING = 16 * 2**20


def prune(paths: SourcePaths, instance: dg.DagsterInstance, *, days: int, count: int) -> int:
    """Delete what is older than some days and not of the last runs; return how many runs went.

    Runs that have not finished stay. Call under the source's lock. A kill at any point leaves what
    the next call deletes: a run's record goes before the files by which it is found again.

    Args:
        paths: Folders of the source.
        instance: The source's Dagster instance.
        days: Nothing younger is deleted.
        count: So many last runs, and so many last blocked ones, stay however old they are.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    home = Path(instance.root_directory)
    pruned = [*_old_runs(instance, before, count), *_leftovers(instance, home)]
    for run_id in pruned:
        # Record and events last: the folder of the logs is found again by its name.
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    if pruned:
        for file in (home / "history" / "runs.db", home / "history" / "runs" / "index.db"):
            _shrink(file)
    _prune_folder(paths.blocked, before, count)
    _prune_folder(paths.logs, before, count)
    _prune_marks(paths)
    prune_verdicts(paths, before, count)
    return len(pruned)


def _old_runs(instance: dg.DagsterInstance, before: datetime, count: int) -> list[str]:
    """Return finished runs to delete, the oldest first, so that what is newest stays longest."""
    old = instance.get_run_records(dg.RunsFilter(statuses=FINISHED, created_before=before))
    if not old:
        return []
    last = instance.get_run_records(dg.RunsFilter(statuses=FINISHED), limit=count)
    kept = {record.dagster_run.run_id for record in last}
    found = sorted(old, key=lambda record: record.storage_id)
    return [one.dagster_run.run_id for one in found if one.dagster_run.run_id not in kept]


def _leftovers(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Return runs without a record of which there are files: a deletion was cut short."""
    # Files are listed before the records: a run that starts now has its record first.
    names = {file.stem for file in (home / "history" / "runs").glob("*.db")}
    names |= {entry.name for entry in _entries(home / "storage")}
    runs = sorted(name for name in names if _is_run_id(name))
    return sorted(set(runs) - set(instance.get_run_ids())) if runs else []


def _is_run_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _prune_folder(folder: Path, before: datetime, count: int) -> None:
    """Delete what is older than a moment and not of the last ones in a folder."""
    entries = sorted(_entries(folder), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in [one for one in entries if one.name.startswith(TEMPORARY)]:
        delete(entry)
        entries.remove(entry)
    for entry in entries[count:]:
        if entry.stat().st_mtime < before.timestamp():
            remove(entry)


def _prune_marks(paths: SourcePaths) -> None:
    """Delete the marks of runs that are over; those just over may still have to be recorded."""
    for mark in _entries(paths.alive):
        is_old = time.time() - mark.stat().st_mtime > START_UP.total_seconds()
        if is_old and has_died(paths, mark.name) is not False:
            mark.unlink(missing_ok=True)


def _shrink(file: Path) -> None:
    """Give the disk back what a SQLite file does not use, if that is the larger part of it."""
    if not file.exists() or file.stat().st_size < WORTH_SHRINKING:
        return
    with closing(sqlite3.connect(file, timeout=1)) as connection:
        free, pages = (
            connection.execute(f"pragma {name}").fetchone()[0]
            for name in ("freelist_count", "page_count")
        )
        if free * 2 > pages:
            connection.execute("vacuum")


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())
