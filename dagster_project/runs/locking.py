"""One run at a time per source, and a mark of each run that lives.

Locks are flocks: the kernel gives them back when a process dies, however it dies. Knows nothing of
Dagster, so that a run with nothing to do need not load it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dagster_project.files import TEMPORARY, locked
from dagster_project.paths import SourcePaths
from dagster_project.runs.reserve import give_back

POLL_SECONDS = 1.0
REMIND_EVERY_SECONDS = 60
# What the mark of a run says that has ended, whether well or not, and has yet to be recorded.
ENDED = b"ended"

# Locks that this process holds; a run inside a process that holds the lock may enter again.
_held: dict[str, int] = {}


@contextmanager
def source_lock(paths: SourcePaths, inform: Callable[[str], None]) -> Iterator[None]:
    """Hold the source's lock; wait for it, and say so, while another run works."""
    key = str(paths.lock)
    if key in _held:
        _held[key] += 1
        try:
            yield
        finally:
            _held[key] -= 1
        return
    wait = _Wait(paths.source, inform)
    with locked(paths.lock, poll_seconds=POLL_SECONDS, may_wait=wait.goes_on):
        _held[key] = 1
        try:
            # Else not even what is there could be shown again.
            give_back(paths)
            yield
        finally:
            del _held[key]


@contextmanager
def living_run(paths: SourcePaths, run_id: str) -> Iterator[None]:
    """Mark a Dagster run as living for as long as its process works on it.

    The mark stays, for Dagster stores the end of the run only after this; retention deletes it.
    """
    paths.alive.mkdir(parents=True, exist_ok=True)
    mark = paths.alive / run_id
    # Locked before it has its name: one that is not locked is never that of a living run.
    making = mark.with_name(f"{TEMPORARY}{run_id}")
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        making.rename(mark)
        yield
    finally:
        os.write(descriptor, ENDED)
        os.close(descriptor)


def has_died(paths: SourcePaths, run_id: str) -> bool | None:
    """Return whether a run's process has ended without a word.

    None if that cannot be told: it left no mark yet, or is about to record how it ended.
    """
    try:
        descriptor = os.open(paths.alive / run_id, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return None if os.read(descriptor, len(ENDED)) == ENDED else True
    finally:
        os.close(descriptor)


def marked_at(paths: SourcePaths, run_id: str) -> float:
    """Return when a run last set its mark, in seconds; 0 if it has none."""
    try:
        return (paths.alive / run_id).stat().st_mtime
    except FileNotFoundError:
        return 0


@dataclass
class _Wait:
    """A wait for another run without an end, of which a person is told now and then."""

    source: str
    inform: Callable[[str], None]
    said_at: float | None = None

    def goes_on(self) -> bool:
        now = time.monotonic()
        if self.said_at is None or now - self.said_at > REMIND_EVERY_SECONDS:
            self.inform(f"Another run of {self.source} is working; waiting for it to end.")
            self.said_at = now
        return True
