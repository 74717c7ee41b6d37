"""What the next run would have to mend: every byte for `winback verify`, a look for the sensor.

Belongs here: looking and foretelling. Nothing is moved; the next run does that, by `recover`.
"""

from dagster_project.paths import SourcePaths
from dagster_project.release.check import faults_of, file_is_whole
from dagster_project.release.links import current_id
from dagster_project.release.recover import (
    chosen_release,
    cure_of_state,
    fault_of_link,
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
    chosen = chosen_release(releases, (current, last), damaged)
    if chosen:
        then = f"makes {chosen} current"
    elif current in found and file_is_whole(paths.releases / current):
        then = "leaves readers its winback.duckdb, which is whole, until it publishes"
    elif releases or not found:
        then = "leaves readers without a release until it publishes"
    else:
        then = "makes the newest whole release current that readers had"
    if current not in found and not shows_damaged(paths) and (last or paths.current.is_symlink()):
        faults.append(f"{paths.current} {fault_of_link(paths)}; the next run {then}.")
    if shows_damaged(paths):
        faults.append(
            f"{paths.current} {fault_of_link(paths)}; the next run publishes a whole one."
        )
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
