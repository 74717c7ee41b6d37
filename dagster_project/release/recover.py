"""What each start finds and mends: leftovers of a kill, a lost state, a damaged release, links.

Belongs here: whatever is done to releases and state that no run asked for. Nothing is deleted but
what is unfinished; what is damaged is moved aside and said. How faults are found is in `check`.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.files import TEMPORARY, appearing_whole, delete, remove
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import has_candidate
from dagster_project.release.check import faults_of, file_is_whole
from dagster_project.release.links import (
    current_id,
    link_published_file,
    point_current,
    put_folder_away,
    switch,
    unlink_current,
)
from dagster_project.release.manifest import moment, read_manifest
from dagster_project.release.state import (
    Release,
    append_switch,
    fault_of_state,
    last_switch,
    open_state,
    record_release,
    recorded_releases,
    recorded_switches,
    wal_of,
)
from dagster_project.standing import standing, what_stands
from dagster_project.warehouse import attach, utc_now

Inform = Callable[[str], None]

# Stands in a release until the state on disk knows it: one without it that the state does not know
# was known to a later state than this.
UNRECORDED = ".unrecorded"
# So many damaged releases stay to be looked at.
KEPT_DAMAGED = 3


def recover(paths: SourcePaths, inform: Inform) -> None:
    """Mend what a kill, a hand or a disk did to state and releases; call under the lock.

    Afterwards every release is whole and known to the state, and readers have the one they had,
    else the newest whole one they ever had that nobody rolled back from. A finished candidate
    stays: its publication may be a run of its own.

    Args:
        paths: Folders of the source.
        inform: Is told what was wrong, what was done and what is left to do.
    """
    _mend_state(paths, inform)
    if not paths.published.is_dir() and not paths.state.exists():
        return
    paths.published.mkdir(parents=True, exist_ok=True)
    for folder in (paths.published, paths.releases, paths.damaged):
        for entry in _entries(folder):
            if entry.name.startswith(TEMPORARY):
                delete(entry)
    if not has_candidate(paths):
        remove(paths.candidate)
    shown = _move_folders_at_links(paths, inform)
    with open_state(paths) as con:
        damaged = _damaged(con, paths)
        _adopt(con, paths, damaged.keys(), inform)
        wanted = (current_id(paths) or shown or name_at_link(paths), last_switch(con))
        lost = next((one for one in wanted if one in damaged), None)
        # Before anything is said of what may be rolled back to.
        aside = {one: _set_aside(paths, paths.releases / one) for one in damaged if one != lost}
        _show(con, paths, damaged, wanted, lost, inform)
    for release_id, place in aside.items():
        unnoticed = "; readers notice nothing" if standing(paths) else ""
        inform(
            f"Release {release_id}, not the current one, is damaged: {listed(damaged[release_id])}."
            f" It is moved to {place}, so that nobody rolls back to it{unnoticed}."
        )
    for folder in release_folders(paths):
        (folder / UNRECORDED).unlink(missing_ok=True)
    _prune_damaged(paths)


def release_folders(paths: SourcePaths) -> list[Path]:
    """Return the folders of the kept releases, damaged ones among them."""
    return [
        entry
        for entry in _entries(paths.releases)
        if entry.is_dir() and not entry.name.startswith(".")
    ]


# --- the state --------------------------------------------------------------------------------


def _mend_state(paths: SourcePaths, inform: Inform) -> None:
    """Put the copy of the one before in place of a state that cannot be read."""
    fault = fault_of_state(paths, paths.state)
    if fault is None or not (
        paths.state.exists() or paths.former_state.exists() or release_folders(paths)
    ):
        return
    cure, former = cure_of_state(paths)
    aside = ""
    if paths.state.exists():
        kept = paths.state.with_name(f"state.damaged-{utc_now():%Y%m%dT%H%M%S}.duckdb")
        wal = wal_of(paths.state)
        if wal.exists():
            wal.rename(wal_of(kept))
        paths.state.rename(kept)
        aside = f" The damaged file is moved to {kept}."
    wal_of(paths.state).unlink(missing_ok=True)
    if former:
        with appearing_whole(paths.state) as temporary:
            shutil.copy(former, temporary)
    inform(f"{paths.state} {fault}; this run {cure}.{aside}")


def cure_of_state(paths: SourcePaths) -> tuple[str, Path | None]:
    """Return in words what is done about a state that cannot be read, and what takes its place."""
    if fault_of_state(paths, paths.former_state) is None:
        return (
            "takes the copy of the one before and adds what the releases know",
            paths.former_state,
        )
    return "puts the history together from the releases", None


def _adopt(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, damaged: Collection[str], inform: Inform
) -> None:
    """Add to the state the releases it does not know, from their files and manifests.

    Each manifest has what readers were given before it, as the state had it then. Only what came
    after the newest one is told by nothing but the link.
    """
    known = _known(con)
    unknown = [
        (folder, read_manifest(folder))
        for folder in release_folders(paths)
        if folder.name not in damaged and folder.name not in known
    ]
    unknown.sort(key=lambda one: (one[1]["published_at"], one[0].name))
    for folder, manifest in unknown:
        record_release(con, paths, folder.name, None)
        had = [tuple(one.values()) for one in recorded_switches(con)]
        for one in manifest.get("switches", ()):
            entry = (moment(one["switched_at"]), one["release_id"], one["kind"])
            if entry not in had:
                append_switch(con, *entry)
    forgotten = [one for one in unknown if not (one[0] / UNRECORDED).exists()]
    for folder, manifest in forgotten:
        published_at = moment(manifest["published_at"])
        is_told = any(
            one["release_id"] == folder.name and one["switched_at"] >= published_at
            for one in recorded_switches(con)
        )
        if manifest.get("made_current") and not is_told:
            append_switch(con, published_at, folder.name, "publish")
    if forgotten:
        inform(
            f"{paths.state} did not hold these releases, published after it was written: "
            f"{', '.join(folder.name for folder, _ in forgotten)}. They are taken up from their "
            "manifests; none is deleted, and `winback releases` lists them. What was rolled back "
            "after the newest of them can be told from the link alone."
        )


# --- what readers have ------------------------------------------------------------------------


def _damaged(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> dict[str, list[str]]:
    """Return the damaged releases with their faults; those to be taken up are read whole."""
    # Each run reads the current one.
    looked_into = {current_id(paths)} if not _opens(con, paths.published_file) else set()
    known = _known(con) - looked_into
    found = {
        folder.name: faults_of(folder, paths.source, thorough=folder.name not in known)
        for folder in release_folders(paths)
    }
    return {release_id: faults for release_id, faults in found.items() if faults}


def _opens(con: duckdb.DuckDBPyConnection, file: Path) -> bool:
    try:
        attach(con, file, "shown", read_only=True)
        con.execute("select count(*) from duckdb_columns() where database_name = 'shown'")
        con.execute("detach shown")
    except (WinbackError, duckdb.Error):
        return False
    return True


def _show(
    con: duckdb.DuckDBPyConnection,
    paths: SourcePaths,
    damaged: dict[str, list[str]],
    wanted: tuple[str | None, str | None],
    lost: str | None,
    inform: Inform,
) -> None:
    """Let readers have what they had, else the best there is, and record it.

    Args:
        con: A connection with the state.
        paths: Folders of the source.
        damaged: Damaged releases with their faults.
        wanted: What the link points to, and what readers were given last.
        lost: That of these which is damaged; the only one of the damaged in its place.
        inform: Is told what readers have.
    """
    pointed, last = wanted
    releases = recorded_releases(con, paths)
    chosen = chosen_release(releases, wanted, damaged)
    fault = None if chosen and chosen == current_id(paths) else fault_of_link(paths)
    if chosen:
        if fault:
            switch(paths, chosen)
        elif link_published_file(paths):
            inform(f"{paths.published_file} was not the link it should be; it is restored.")
        _record_shown(con, paths, chosen, last, releases)
    if lost:
        _let_go(paths, lost, chosen)
        has = (
            f"Readers have {chosen} now, the newest whole release that they had before."
            if chosen
            else f"There is no other release to show. {what_stands(paths)}"
        )
        inform(
            f"The current release {lost} is damaged: {listed(damaged[lost])}. {has} It is "
            f"moved to {paths.damaged / lost}; `winback run` builds it again if its files and "
            "settings are still the same."
        )
    elif chosen and fault and chosen in wanted:
        inform(f"{paths.current} {fault}; it points to {chosen} again.")
    elif chosen and fault:
        inform(
            f"{paths.current} {fault}, and {pointed or last} is not there. Readers have {chosen} "
            "now, the newest whole release that they had before; `winback run` builds the other "
            "again if its files and settings are still the same."
        )
    elif not chosen and fault and last and not shows_damaged(paths):
        unlink_current(paths)
        inform(
            f"{paths.current} {fault}, and no whole release is left that readers had and nobody "
            f"rolled back from. {what_stands(paths)}"
        )


def chosen_release(
    releases: Iterable[Release], wanted: Iterable[str | None], damaged: Collection[str]
) -> str | None:
    """Return the release to show: the first whole one of those wanted, else the newest usable."""
    kept = [one for one in releases if one.is_kept and one.release_id not in damaged]
    ids = {one.release_id for one in kept}
    usable = [one.release_id for one in kept if one.was_current and not one.is_rolled_back]
    return next((one for one in (*wanted, *usable) if one in ids), None)


def _record_shown(
    con: duckdb.DuckDBPyConnection,
    paths: SourcePaths,
    chosen: str,
    last: str | None,
    releases: Iterable[Release],
) -> None:
    """Record a switch that the state has not: a run was killed, or this one restored it."""
    if chosen == last:
        return
    former = next((one for one in releases if one.release_id == last), None)
    was_current = next(one.was_current for one in releases if one.release_id == chosen)
    if not was_current:
        kind = "publish"
    elif former and former.is_kept and not faults_of(paths.releases / last, paths.source):
        kind = "rollback"
    else:
        # Nobody left the former one: it is damaged or gone, and may be built and shown again.
        kind = "restore"
    append_switch(con, utc_now(), chosen, kind)


def _let_go(paths: SourcePaths, release_id: str, chosen: str | None) -> None:
    """Move the damaged current release aside; readers keep its file for want of another."""
    folder = paths.releases / release_id
    keeps = chosen is None and file_is_whole(folder)
    if chosen is None and not keeps:
        unlink_current(paths)
    aside = _set_aside(paths, folder)
    if keeps:
        point_current(paths, aside)


def shows_damaged(paths: SourcePaths) -> bool:
    """Return whether readers have the whole file of a damaged release, for want of another."""
    now = standing(paths)
    return now is not None and now.is_damaged


def name_at_link(paths: SourcePaths) -> str | None:
    """Return the name that `current` points to, wherever it points."""
    return paths.current.readlink().name if paths.current.is_symlink() else None


def fault_of_link(paths: SourcePaths) -> str:
    """Return in words what is wrong with `current`, which is not as it should be."""
    if paths.current.is_symlink():
        return f"pointed to {paths.current.readlink()}"
    return "was no link" if paths.current.exists() else "was missing"


def _move_folders_at_links(paths: SourcePaths, inform: Inform) -> str | None:
    """Make way for links where folders stand; return the release that a folder was a copy of."""
    if paths.published_file.is_dir() and not paths.published_file.is_symlink():
        _set_aside(paths, paths.published_file)
    if paths.current.is_symlink() or not paths.current.is_dir():
        return None
    release_id = claimed_id(paths.current)
    destination = paths.releases / (release_id or "")
    if release_id is None or destination.exists():
        destination = _place_aside(paths, paths.current.name)
    put_folder_away(paths, destination)
    inform(f"{paths.current} was a folder instead of a link, a copy; it is moved to {destination}.")
    return release_id


def claimed_id(folder: Path) -> str | None:
    """Return the release that a folder says it is, whatever its name."""
    try:
        release_id = str(read_manifest(folder)["release_id"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    is_name = Path(release_id).name == release_id and not release_id.startswith(".")
    return release_id if is_name else None


# --- what is moved aside ----------------------------------------------------------------------


def _set_aside(paths: SourcePaths, folder: Path) -> Path:
    place = _place_aside(paths, folder.name)
    folder.rename(place)
    # The last ones stay, by the time they came.
    os.utime(place)
    return place


def _place_aside(paths: SourcePaths, name: str) -> Path:
    paths.damaged.mkdir(parents=True, exist_ok=True)
    remove(paths.damaged / name)
    return paths.damaged / name


def _prune_damaged(paths: SourcePaths) -> None:
    shown = paths.current.resolve()
    aside = [entry for entry in _entries(paths.damaged) if entry != shown]
    aside.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in aside[KEPT_DAMAGED:]:
        remove(entry)


def _known(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in con.execute("select release_id from state.main.releases").fetchall()}


def listed(faults: list[str]) -> str:
    """Return the first faults of a release in one line."""
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
