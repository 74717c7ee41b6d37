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

from dagster_project.files import locked
from dagster_project.paths import SourcePaths

POLL_SECONDS = 1.0
REMIND_EVERY_SECONDS = 60

# Locks that this process holds; a run inside a process that holds the lock may enter again.
_held: dict[str, int] = {}


@contextmanager
def source_lock(paths: SourcePaths, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the source's lock; wait for it, and say so, while another run works."""
    key = str(paths.lock)
    if key in _held:
        _held[key] += 1
        try:
            yield
        finally:
            _held[key] -= 1
        return
    wait = _Wait(paths.source, say)
    with locked(paths.lock, poll_seconds=POLL_SECONDS, may_wait=wait.goes_on):
        _held[key] = 1
        try:
            yield
        finally:
            del _held[key]


@contextmanager
def living_run(paths: SourcePaths, run_id: str) -> Iterator[None]:
    """Mark a Dagster run as living for as long as its process does."""
    paths.alive.mkdir(parents=True, exist_ok=True)
    file = paths.alive / run_id
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def has_died(paths: SourcePaths, run_id: str) -> bool | None:
    """Return whether a run's process has ended without a word; None if it left no mark."""
    try:
        descriptor = os.open(paths.alive / run_id, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


@dataclass
class _Wait:
    """A wait for another run without an end, of which a person is told now and then."""

    source: str
    say: Callable[[str], None]
    said_at: float | None = None

    def goes_on(self) -> bool:
        now = time.monotonic()
        if self.said_at is None or now - self.said_at > REMIND_EVERY_SECONDS:
            self.say(f"Another run of {self.source} is working; waiting for it to end.")
            self.said_at = now
        return True
