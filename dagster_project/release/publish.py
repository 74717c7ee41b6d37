"""Publishing: a candidate becomes a release by one rename, an older one current by another.

Belongs here: what a run or a person asks for. What each start mends is in `recover`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import duckdb

from dagster_project.access import show_release, show_way
from dagster_project.errors import ConfigurationError, GateBlockedError, WinbackError
from dagster_project.files import file_hash, remove, sync, write_json
from dagster_project.gates.verdicts import (
    RESULT_TYPES,
    RESULTS_OF_VERDICT,
    Gate,
    RecordedVerdict,
    failures,
    latest_verdict,
)
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import (
    Candidate,
    candidate_file,
    detach_release,
    end_audit,
    read_candidate,
)
from dagster_project.release.check import faults_of
from dagster_project.release.links import switch
from dagster_project.release.manifest import MANIFEST, manifest
from dagster_project.release.recover import UNRECORDED, Inform, recover
from dagster_project.release.state import (
    HISTORY_TABLES,
    HISTORY_TYPES,
    Release,
    list_releases,
    open_state,
    record_release,
    recorded_release,
    recorded_releases,
    recorded_switches,
)
from dagster_project.release.tables import describe_tables, finish_table
from dagster_project.warehouse import attach, create_table, insert, utc_now

KEPT_RELEASES = 7
# Whoever has just resolved the link to a release has so long to open all its files.
GRACE = timedelta(hours=1)


def publish(paths: SourcePaths, *, make_current: bool, keep: int = KEPT_RELEASES) -> Release:
    """Turn the audited candidate into a release and, if wanted, make it the current one.

    Args:
        paths: Folders of the source.
        make_current: Whether readers shall see it; otherwise it is only kept.
        keep: How many former releases to keep on disk to roll back to, beside the current one.

    Returns:
        The release. If one with the same id is already kept, that one stays as it is.

    Raises:
        GateBlockedError: Its latest verdicts are absent or failed, or it changed since its audit.
        WinbackError: There is no finished candidate.
    """
    candidate = read_candidate(paths)
    release_id = candidate.identity.release_id
    folder = paths.releases / release_id
    with open_state(paths) as con:
        attach(con, paths.warehouse, "warehouse", read_only=True)
        verdicts = _require_verdicts(con, paths, candidate)
        if folder.exists():
            remove(paths.candidate)
        else:
            # If this run dies from here on, the candidate has to be built again.
            end_audit(paths)
            published_at = utc_now()
            attach(con, candidate_file(paths), "release")
            _append_history(con, paths, candidate, verdicts, published_at)
            tables = describe_tables(con)
            detach_release(con, paths)
            written = manifest(
                paths.candidate,
                candidate,
                tables,
                published_at,
                made_current=make_current,
                switches=_switches_of_kept(con, paths),
            )
            write_json(paths.candidate / MANIFEST, written)
            (paths.candidate / UNRECORDED).touch()
            _seal(paths.candidate)
            paths.releases.mkdir(exist_ok=True)
            show_way(paths)
            paths.candidate.rename(folder)
            sync(paths.releases)
        if make_current:
            switch(paths, release_id)
        record_release(con, paths, release_id, "publish" if make_current else None)
        published = recorded_release(con, paths, release_id)
        superfluous = _superfluous(con, paths, keep, release_id)
    # Only now the state on disk knows it.
    (folder / UNRECORDED).unlink(missing_ok=True)
    for release in superfluous:
        remove(paths.releases / release.release_id)
    return published


def switch_to(paths: SourcePaths, release_id: str) -> Release:
    """Make a kept release the current one, for instance one built as of a past date.

    Raises:
        ConfigurationError: No kept release has this id.
        WinbackError: It is damaged.
    """
    return _switch_back(paths, release_id, "publish")


def rollback(
    paths: SourcePaths, release_id: str | None = None, *, inform: Inform = print
) -> Release:
    """Make a former release the current one again; every byte of it is compared before.

    Args:
        paths: Folders of the source.
        release_id: The release to go to; by default the one published before the current one,
            passing over releases that a rollback already left and damaged ones.
        inform: Is told of damaged ones.

    Raises:
        ConfigurationError: No kept release has this id.
        WinbackError: There is no former release, or the one asked for is damaged.
    """
    if release_id is None:
        release_id = _former(paths, inform)
    elif _is_damaged(paths, release_id):
        recover(paths, inform)
    return _switch_back(paths, release_id, "rollback")


def _former(paths: SourcePaths, inform: Inform) -> str:
    """Return the newest whole release before the current one that a rollback may go to."""
    # Newest first: what stands behind the current one was published before it.
    releases = list_releases(paths)
    current = next((place for place, one in enumerate(releases) if one.is_current), len(releases))
    for release in releases[current + 1 :]:
        if release.is_kept and release.was_current and not release.is_rolled_back:
            if not _is_damaged(paths, release.release_id):
                return release.release_id
            recover(paths, inform)
    raise WinbackError(f"{paths.source}: there is no former release to roll back to")


def _is_damaged(paths: SourcePaths, release_id: str) -> bool:
    folder = paths.releases / release_id
    is_release = folder.name == release_id and folder.is_dir()
    return is_release and bool(faults_of(folder, paths.source, thorough=True))


def _require_verdicts(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, candidate: Candidate
) -> Sequence[RecordedVerdict]:
    """Return the latest verdicts of both gates on the candidate, which must be passing."""
    identity = candidate.identity
    gates: dict[Gate, str] = {"raw": "raw/transactions", "release": "release/candidate"}
    verdicts = []
    for gate, asset in gates.items():
        verdict = latest_verdict(con, gate, identity.release_id)
        if verdict is None:
            raise GateBlockedError(
                f"{identity.release_id} is not published: no verdict of the {gate} gate on it is "
                f"recorded; materialise {asset}, whose checks are the gate, or start the job "
                "`daily`"
            )
        if not verdict.is_passed:
            raise GateBlockedError(
                f"{identity.release_id} is not published, the {gate} gate refused it: "
                + "; ".join(failures(con, verdict))
            )
        verdicts.append(verdict)
    if verdicts[1].file_hash != file_hash(candidate_file(paths)):
        raise GateBlockedError(
            f"{identity.release_id} is not published: its file has changed since the release gate "
            "judged it; materialise "
            "release/candidate and release/current together"
        )
    return verdicts


def _append_history(
    con: duckdb.DuckDBPyConnection,
    paths: SourcePaths,
    candidate: Candidate,
    verdicts: Iterable[RecordedVerdict],
    published_at: datetime,
) -> None:
    """Add `releases` and `gate_results` to the attached candidate."""
    identity = candidate.identity
    release_id = identity.release_id
    for table, types in HISTORY_TYPES.items():
        create_table(con, f"release.main.{table}", types)
        # A release that was pruned and is built again has a row of its own in the state already.
        con.execute(
            f"insert into release.main.{table} by name "
            f"select {', '.join(types)} from state.main.{table} where release_id <> ?",
            [release_id],
        )
    row = {
        "release_id": release_id,
        "source_name": identity.source,
        "as_of_date": identity.as_of,
        "built_at": candidate.built_at,
        "published_at": published_at,
        "code_version": identity.code.text,
        "input_fingerprint": identity.input_fingerprint,
        "settings_fingerprint": identity.settings_fingerprint,
        "inputs": candidate.inputs,
        "row_counts": candidate.row_counts,
    }
    insert(con, "release.main.releases", row)
    for verdict in verdicts:
        con.execute(
            "insert into release.main.gate_results by name "
            f"select ? as release_id, {', '.join(RESULT_TYPES)} from ({RESULTS_OF_VERDICT})",
            [release_id, *verdict.key],
        )
    for table in HISTORY_TABLES:
        finish_table(con, paths.candidate, table)


def _seal(folder: Path) -> None:
    """Make all files read-only, for those who may, and bring all safely to the disk."""
    show_release(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)


def _switch_back(
    paths: SourcePaths, release_id: str, kind: Literal["publish", "rollback"]
) -> Release:
    # The state is opened before the switch: where it cannot be written nothing moves.
    with open_state(paths) as con:
        kept = [release.release_id for release in recorded_releases(con, paths) if release.is_kept]
        listed = f"kept are: {', '.join(kept) or 'none'}"
        if release_id not in kept and (paths.damaged / release_id / MANIFEST).exists():
            raise WinbackError(
                f"{paths.source}: the release {release_id} is damaged and stands in "
                f"{paths.damaged}; readers keep what they have. Name another one, or let "
                f"`winback run` build it again; {listed}"
            )
        if release_id not in kept:
            raise ConfigurationError(f"{paths.source}: no kept release {release_id!r}; {listed}")
        faults = faults_of(paths.releases / release_id, paths.source)
        if faults:
            raise WinbackError(
                f"{paths.source}: the release {release_id} is damaged ({faults[0]}), so that "
                "readers keep what they have. The next run moves it aside; name another one."
            )
        switch(paths, release_id)
        record_release(con, paths, release_id, kind)
        return recorded_release(con, paths, release_id)


def _switches_of_kept(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths
) -> Sequence[Mapping[str, Any]]:
    """Return what readers were given from the first switch to a kept release on."""
    kept = {one.release_id for one in recorded_releases(con, paths) if one.is_kept}
    switches = recorded_switches(con)
    places = (place for place, one in enumerate(switches) if one["release_id"] in kept)
    return switches[next(places, len(switches)) :]


def _superfluous(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, keep: int, published: str
) -> list[Release]:
    """Return releases beyond the last ones to roll back to, never the current or published one.

    Those that readers never saw, or that were rolled back from, are counted apart: they must not
    push out what there is to roll back to. What readers had until a moment ago stays for now.
    """
    former = [one for one in recorded_releases(con, paths) if one.is_kept and not one.is_current]
    usable = [one for one in former if one.was_current and not one.is_rolled_back]
    others = [one for one in former if one not in usable]
    just_left = _just_left(con)
    return [
        release
        for release in (*usable[keep:], *others[keep:])
        if release.release_id not in (published, *just_left)
    ]


def _just_left(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the releases that readers had within the time of grace."""
    now = utc_now()
    return {
        one["release_id"]
        for one, following in pairwise(recorded_switches(con))
        # Also what the clock, set back since, puts into the future.
        if abs(now - following["switched_at"]) < GRACE
    }
