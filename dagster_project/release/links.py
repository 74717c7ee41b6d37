"""The links that readers go through: `winback.duckdb` and `current`, which is switched.

Belongs here: reading and replacing them. Which release is to be seen is decided elsewhere.
"""

from pathlib import Path

from dagster_project.files import appearing_whole, sync
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import RELEASE_FILE
from dagster_project.release.manifest import MANIFEST


def current_id(paths: SourcePaths) -> str | None:
    """Return the id of the release that `current` points to, if it is there."""
    try:
        target = paths.current.readlink()
    except OSError:
        return None
    is_there = leads_to_release(paths) and (paths.current / MANIFEST).is_file()
    return target.name if is_there else None


def leads_to_release(paths: SourcePaths) -> bool:
    """Return whether `current` has the form of a link to a release, be it there or not."""
    is_link = paths.current.is_symlink()
    return is_link and paths.current.readlink().parts[:-1] == (paths.releases.name,)


def leads_through_current(paths: SourcePaths) -> bool:
    """Return whether `winback.duckdb` is the link through `current`."""
    link = paths.published_file
    return link.is_symlink() and str(link.readlink()) == _through_current(paths)


def switch(paths: SourcePaths, release_id: str) -> None:
    """Let readers see another release; the one rename is all there is to it."""
    point_current(paths, paths.releases / release_id)


def point_current(paths: SourcePaths, folder: Path) -> None:
    """Let readers see what is in a folder below `published`."""
    link_published_file(paths)
    _replace_link(paths.current, str(folder.relative_to(paths.published)))


def put_folder_away(paths: SourcePaths, destination: Path) -> None:
    """Move a folder that stands in the place of `current`: a copy was made without links.

    No rename replaces a folder by a link, so the file that readers open gets another name first.
    """
    file = paths.current / RELEASE_FILE
    if file.is_file():
        with appearing_whole(paths.published_file) as temporary:
            temporary.hardlink_to(file)
    paths.current.rename(destination)


def link_published_file(paths: SourcePaths) -> bool:
    """Let `winback.duckdb` go through `current`; return whether it did not."""
    if leads_through_current(paths):
        return False
    _replace_link(paths.published_file, _through_current(paths))
    return True


def unlink_current(paths: SourcePaths) -> None:
    """Let readers see nothing."""
    paths.current.unlink(missing_ok=True)
    sync(paths.published)


def _through_current(paths: SourcePaths) -> str:
    return f"{paths.current.name}/{RELEASE_FILE}"


def _replace_link(link: Path, target: str) -> None:
    with appearing_whole(link) as temporary:
        temporary.symlink_to(target)
