"""Room put by for the moment at which the disk is full: the state and the last messages still fit.

Belongs here: what is given back then. How much a run needs is in `room`.
"""

import contextlib
import os
import shutil

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.files import appearing_whole, delete, remove
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect, wal_of

# For what Dagster and the log of a failure write, beside a few copies of the state: one is being
# written, one is the former.
SMALLEST_BYTES = 8_000_000
COPIES_OF_STATE = 3


def keep_reserve(paths: SourcePaths) -> None:
    """Put room by where there is none yet; call it where a run has room for all it may need."""
    if paths.reserve.exists():
        return
    with (
        contextlib.suppress(OSError),
        appearing_whole(paths.reserve, mode=0o600) as temporary,
        temporary.open("wb") as stream,
    ):
        # What can be packed takes no room on some disks.
        stream.write(os.urandom(_bytes(paths)))


def give_back(paths: SourcePaths) -> None:
    """Make what room there is where a disk is nearly full; call under the source's lock.

    The candidate goes as well, finished or not, for there is no room to publish it.
    """
    if not _is_nearly_full(paths):
        return
    for work in (paths.reserve, paths.spill):
        with contextlib.suppress(OSError):
            delete(work)
    with contextlib.suppress(OSError):
        remove(paths.candidate)


def give_back_after_run(paths: SourcePaths) -> None:
    """Make room as `give_back` does, and let the warehouse take in what its log holds."""
    if not _is_nearly_full(paths):
        return
    give_back(paths)
    log = wal_of(paths.warehouse)
    # Where that may take up the room again, it stays for the next run.
    with contextlib.suppress(OSError, WinbackError, duckdb.Error):
        if log.exists() and 2 * log.stat().st_size < shutil.disk_usage(paths.warehouse_dir).free:
            with connect(paths):
                pass


def _is_nearly_full(paths: SourcePaths) -> bool:
    return shutil.disk_usage(paths.warehouse_dir).free < _bytes(paths)


def _bytes(paths: SourcePaths) -> int:
    state = paths.state.stat().st_size if paths.state.is_file() else 0
    return SMALLEST_BYTES + COPIES_OF_STATE * state
