"""Files that are there whole or not at all, their hashes, and folders that go at once.

Belongs here: what any layer does with a file or folder, whatever is in it. Where they lie is known
to `paths` alone.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What begins so is unfinished, or about to be deleted; after a kill it may be left.
TEMPORARY = ".tmp-"


@contextmanager
def locked(file: Path, *, poll_seconds: float, may_wait: Callable[[], bool]) -> Iterator[bool]:
    """Hold a file's flock, which the kernel gives back when the process dies, however it dies.

    Args:
        file: Is made if it is missing, with its folder.
        poll_seconds: Between two tries while another process holds the lock.
        may_wait: Asked before each further try whether there shall be one.

    Yields:
        Whether the lock is held.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not inherited (Python's default), so no child can keep the lock beyond its parent.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _is_locked(descriptor, poll_seconds, may_wait)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, poll_seconds: float, may_wait: Callable[[], bool]) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not may_wait():
                return False
            time.sleep(poll_seconds)
        else:
            return True


@contextmanager
def appearing_whole(
    file: Path, *, mode: int | None = None, is_shared: bool = False
) -> Iterator[Path]:
    """Give another name beside `file` to make it under; at the end it takes its own.

    Whoever looks meanwhile, or after a crash, finds the former file or none, never half of the
    new one.

    Args:
        file: What shall appear, in place of a former one: a file or a symbolic link. Its folder
            is made if need be.
        mode: Permissions that the file has before anything is in it.
        is_shared: Several processes may make it at once, for instance without the source's lock;
            the last one's stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    maker = f"{os.getpid()}-" if is_shared else ""
    temporary = file.with_name(f"{TEMPORARY}{maker}{file.name}")
    temporary.unlink(missing_ok=True)
    if mode is not None:
        temporary.touch(mode=mode)
    try:
        yield temporary
        if not temporary.is_symlink():
            sync(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    sync(file.parent)


def write_text(file: Path, text: str, *, mode: int | None = None) -> None:
    """Write a file that is there whole or not at all; see `appearing_whole`."""
    with appearing_whole(file, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(file: Path, content: Any) -> None:
    """Write JSON for people to read as well; what it has no type for is written as text."""
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, safely to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Delete a folder if it is there; nobody ever sees half of it under its own name."""
    if folder.exists():
        temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
        delete(temporary)
        folder.rename(temporary)
        delete(temporary)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
