"""Ctrl-C and SIGTERM: which has come, and that it ends what is going on, however deep in a library.

Whoever runs in the main thread is interrupted by Python or by Dagster, as soon as it runs Python. A
statement of DuckDB may not for an hour, and a library may take the interruption for a failure of
its own; so a thread sees every signal as it comes, interrupts DuckDB and, if nothing helps, ends
the process as a kill would, which leaves nothing half-done.

Belongs here: signals. Imports nothing slow, for a signal may come while the libraries load.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Protocol

ENDED_BY = (signal.SIGINT, signal.SIGTERM)
# From the signal to the end of the process, whatever it is doing.
GRACE_SECONDS = 4.0
# A second signal ends it at once, but for one that is sent twice for safety, as `timeout` does it.
TWICE_SECONDS = 1.0
LOOK_SECONDS = 0.2
MESSAGE = "winback: interrupted; run again"


class Work(Protocol):
    """What works in the main thread or another one, such as a connection to a database."""

    def interrupt(self) -> None:
        """End what it does now, from another thread."""


# What is open now in this process, by its identity.
_works: dict[int, Work] = {}
_is_interrupted = False


class Watch:
    """The signals that have come to this process since it is watched."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._lock = threading.Lock()
        self._came: list[tuple[int, float]] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._end_what_works, daemon=True)

    @property
    def exit_code(self) -> int | None:
        """The exit code that says which signal came first; None if none has come."""
        came = self._read()
        return 128 + came[0][0] if came else None

    def start(self) -> None:
        """Begin; only the main thread may."""
        # Told of every signal, whoever handles it.
        self._former = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread.start()

    def end(self) -> None:
        """Leave signals to whoever had them before."""
        signal.set_wakeup_fd(self._former)
        self._is_over = True
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
        _set_interrupted(False)

    def _read(self) -> list[tuple[int, float]]:
        with self._lock, contextlib.suppress(BlockingIOError):
            numbers = os.read(self._reading, 1000)
            self._came += [(one, time.monotonic()) for one in numbers if one in ENDED_BY]
        return self._came

    def _end_what_works(self) -> None:
        while not self._is_over:
            # Not for ever: whoever asks for the exit code may have read what came.
            select.select([self._reading], [], [], LOOK_SECONDS)
            came = self._read()
            if not came or self._is_over:
                continue
            _set_interrupted(True)
            for work in list(_works.values()):
                # It may have been closed just now.
                with contextlib.suppress(Exception):
                    work.interrupt()
            (number, first), (_, last) = came[0], came[-1]
            if last - first > TWICE_SECONDS or time.monotonic() - first > GRACE_SECONDS:
                end_now(128 + number)


_watch: Watch | None = None


def _leave_to_parent() -> None:
    """Let signals to a child that was forked be the child's alone: it has its parent's pipe."""
    if _watch is not None:
        signal.set_wakeup_fd(-1)
        for number in ENDED_BY:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def watched() -> Iterator[Watch | None]:
    """Watch the signals that come; within it no statement of DuckDB outlives one.

    Yields:
        The watch, the outer one if there is one; None in a thread, to which no signal comes.
    """
    global _watch
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield _watch
        return
    _watch = Watch()
    _watch.start()
    try:
        yield _watch
    finally:
        _watch.end()
        _watch = None


@contextmanager
def ended_by_signals(work: Work) -> Iterator[None]:
    """Let a signal end what a connection does, and none begin to work after it."""
    if _is_interrupted:
        # What failed for the signal may have been taken for another failure, and passed over.
        raise KeyboardInterrupt
    _works[id(work)] = work
    try:
        yield
    finally:
        _works.pop(id(work), None)


@contextmanager
def raising() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt, also where the shell had SIGINT ignored."""
    former = {number: signal.signal(number, _interrupt) for number in ENDED_BY}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _set_interrupted(is_interrupted: bool) -> None:
    global _is_interrupted
    _is_interrupted = is_interrupted


def end_now(code: int) -> NoReturn:
    """Say that the process was interrupted, and end it as a kill would."""
    with contextlib.suppress(OSError):
        os.write(2, f"{MESSAGE}\n".encode())
    os._exit(code)
