"""Who may read what: all for the owner alone, but for what is published.

Belongs here: every permission of a file or folder. Warehouse, state, keys, verdicts, logs and what
Dagster keeps are 0600 in folders 0700; published files are 0444 in folders 0755, or for one group
0440 in 0750. The landing folder and the data directory itself are the user's own.
"""

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.files import TEMPORARY
from dagster_project.paths import SourcePaths, setting

GROUP = "WINBACK_PUBLISHED_GROUP"
FILE_MODES = {"everybody": 0o444, "group": 0o440}
FOLDER_MODES = {"everybody": 0o755, "group": 0o750}
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_to_owner(paths: SourcePaths) -> None:
    """Let nobody else read what this process makes for a source from now on, or made before.

    What it publishes is shown by `show_release`. Call it before anything is written.

    Raises:
        ConfigurationError: The group of published files is unknown, or not one of the user's.
        WinbackError: A folder of the source belongs to another user.
    """
    group = _group()
    # The way to what is published is made as the user makes folders.
    paths.published.parent.mkdir(parents=True, exist_ok=True)
    os.umask(OTHERS)
    for folder in paths.private:
        # Nobody gets to what is in a closed folder, so it is the last to be closed.
        if folder.is_dir() and folder.stat().st_mode & OTHERS:
            for path in (*_inside(folder), folder):
                _close(path)
    if paths.releases.is_dir():
        for folder in (paths.published, paths.releases):
            _show(folder, group)
        for release in sorted(paths.releases.iterdir()):
            if release.is_dir() and not release.name.startswith(TEMPORARY):
                show_release(release)


def show_release(folder: Path) -> None:
    """Let a release's readers read it, and nobody change its files."""
    group = _group()
    # As with folders that are closed: its own permission comes last, and stands for all.
    if not _is_shown(folder, group):
        for path in (*_inside(folder), folder):
            _show(path, group)


def show_way(paths: SourcePaths) -> None:
    """Let readers reach the releases of a source."""
    group = _group()
    for folder in (paths.published, paths.releases):
        _show(folder, group)


def _group() -> int | None:
    """Return the id of the group that alone may read what is published; None for everybody."""
    name = setting(GROUP, "")
    if not name:
        return None
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(
            f"{GROUP}: this machine has no group {name}. Correct the name, or leave it empty so "
            "that everybody may read what is published."
        ) from None
    if os.geteuid() and group not in {*os.getgroups(), os.getegid()}:
        raise ConfigurationError(
            f"{GROUP}: this user is not in the group {name}, so that no file can be given to it. "
            "Put the user into the group, or name another one."
        )
    return group


def _show(path: Path, group: int | None) -> None:
    if _is_shown(path, group):
        return
    with _changing(path):
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(_mode(path, group))


def _close(path: Path) -> None:
    with _changing(path):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)


def _is_shown(path: Path, group: int | None) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    is_given = group is None or status.st_gid == group
    return is_given and stat.S_IMODE(status.st_mode) == _mode(path, group)


def _mode(path: Path, group: int | None) -> int:
    modes = FOLDER_MODES if path.is_dir() else FILE_MODES
    return modes["everybody" if group is None else "group"]


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the files and folders in a folder, those farther down first, without links."""
    return (path for path in sorted(folder.rglob("*"), reverse=True) if not path.is_symlink())


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        # Another process has deleted it meanwhile.
        pass
    except PermissionError:
        raise WinbackError(
            f"{path} belongs to another user, so that who may read it cannot be changed. Run as "
            "the user who owns the folders in the data directory, or give them to this one."
        ) from None
