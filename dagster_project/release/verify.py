"""What the next run would have to mend: every byte for `winback verify`, a look for the sensor.

Belongs here: looking and foretelling. Nothing is moved; the next run does that, by `recover`.
"""

import os
from collections.abc import Collection, Iterator

from dagster_project.paths import SourcePaths
from dagster_project.release.check import faults_of, file_is_whole
from dagster_project.release.links import current_id, leads_through_current, leads_to_release
from dagster_project.release.recover import (
    chosen_release,
    claimed_id,
    cure_of_state,
    listed,
    name_at_link,
    release_folders,
    shows_damaged,
)
from dagster_project.release.state import (
    fault_of_state,
    last_switch,
    recorded_releases,
    state_to_read,
)


def is_to_mend(paths: SourcePaths) -> bool:
    """Return whether readers have no release, or a damaged one, though they once had a whole one.

    Compares sizes and times, as each run does.
    """
    current = current_id(paths)
    if current is not None:
        return bool(faults_of(paths.releases / current, paths.source))
    with state_to_read(paths) as con:
        return con is not None and last_switch(con) is not None


def verify(paths: SourcePaths) -> tuple[list[str], list[str]]:
    """Compare every byte of every kept release with its manifest.

    Returns:
        A line for each whole release, and one for each fault, with what the next run will do.
    """
    found = {
        folder.name: faults_of(folder, paths.source, thorough=True)
        for folder in release_folders(paths)
    }
    # One may have been pruned by a run meanwhile.
    damaged = {
        name: faults
        for name, faults in found.items()
        if faults and (paths.releases / name).exists()
    }
    faults = []
    fault = fault_of_state(paths, paths.state) if found else None
    if fault:
        faults.append(f"{paths.state} {fault}; the next run {cure_of_state(paths)[0]}.")
    with state_to_read(paths) as con:
        releases = recorded_releases(con, paths) if con else []
        last = last_switch(con) if con else None
    current = current_id(paths) or name_at_link(paths)
    # A folder in the link's place is a copy, and perhaps the only one.
    copied = claimed_id(paths.current) if not paths.current.is_symlink() else None
    current = current or copied
    chosen = chosen_release(releases, (current, last), damaged)
    if copied and copied not in found:
        chosen = copied
    if chosen:
        then = f"makes {chosen} current"
    elif current in found and file_is_whole(paths.releases / current):
        then = "leaves readers its winback.duckdb, which is whole, until it publishes"
    elif releases or not found:
        then = "leaves readers without a release until it publishes"
    else:
        then = "makes the newest whole release current that readers had"
    faults += _faults_of_links(paths, found.keys(), last, chosen, then, is_state_lost=bool(fault))
    for name, wrong in damaged.items():
        cure = f"moves it to {paths.damaged}"
        if name == current:
            cure += f", {then} and, if its files and settings are still the same, builds it again"
        faults.append(f"{name} is damaged: {listed(wrong)}; the next run {cure}.")
    known = {release.release_id: release for release in releases}
    lines = []
    for name in found.keys() - damaged.keys():
        marks = "".join(
            mark
            for mark, holds in (
                (", current", name == current),
                (", not known to the state: the next run takes it up", name not in known),
            )
            if holds
        )
        lines.append(f"{name} is whole{marks}")
    return sorted(lines, reverse=True), faults


def _faults_of_links(
    paths: SourcePaths,
    kept: Collection[str],
    last: str | None,
    chosen: str | None,
    then: str,
    *,
    is_state_lost: bool,
) -> Iterator[str]:
    """Yield what is wrong with the links that readers go through, and what the next run does."""
    link, pointed = paths.current, name_at_link(paths)
    there = "is a folder instead of a link" if link.is_dir() else "is no link"
    if link.is_symlink():
        there = f"points to {link.readlink()}"
    if shows_damaged(paths):
        yield f"{link} {there}, a damaged release; the next run publishes a whole one."
    elif not os.path.lexists(link):
        # It never was where nothing was ever shown.
        if last or (is_state_lost and kept):
            yield f"{link} is missing; the next run {_mended(then, chosen, last)}."
    elif not leads_to_release(paths):
        yield f"{link} {there}; the next run {_mended(then, chosen, pointed or last)}."
    elif pointed not in kept:
        yield f"{link} {there}, which is gone; the next run {_mended(then, chosen, pointed)}."
    if os.path.lexists(link) and not leads_through_current(paths):
        yield f"{paths.published_file} is not the link it should be; the next run restores it."


def _mended(then: str, chosen: str | None, wanted: str | None) -> str:
    """Return what the next run does about a link that should lead to a release."""
    if chosen is None or wanted is None or chosen == wanted:
        return then
    return f"{then} and, if the files and settings of {wanted} are still the same, builds it again"
