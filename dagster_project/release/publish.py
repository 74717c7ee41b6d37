"""Publishing: a candidate becomes a release by one rename, an older one current by another.

Belongs here: everything that moves below `<data dir>/published/`, and clearing up after a kill.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import duckdb

from dagster_project.access import show_release, show_way
from dagster_project.errors import ConfigurationError, GateBlockedError, WinbackError
from dagster_project.files import (
    TEMPORARY,
    appearing_whole,
    delete,
    file_hash,
    remove,
    sync,
    write_json,
)
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
    RELEASE_FILE,
    Candidate,
    candidate_file,
    detach_release,
    end_audit,
    has_candidate,
    read_candidate,
)
from dagster_project.release.manifest import MANIFEST, manifest
from dagster_project.release.state import (
    HISTORY_TABLES,
    HISTORY_TYPES,
    Release,
    current_id,
    current_release,
    list_releases,
    open_state,
    record_release,
    recorded_release,
    recorded_releases,
)
from dagster_project.release.tables import describe_tables, finish_table
from dagster_project.warehouse import attach, create_table, insert, utc_now

KEPT_RELEASES = 7


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
    with open_state(paths) as con:
        attach(con, paths.warehouse, "warehouse", read_only=True)
        verdicts = _require_verdicts(con, paths, candidate)
        if (paths.releases / release_id).exists():
            remove(paths.candidate)
        else:
            # If this run dies from here on, the candidate has to be built again.
            end_audit(paths)
            published_at = utc_now()
            attach(con, candidate_file(paths), "release")
            _append_history(con, paths, candidate, verdicts, published_at)
            tables = describe_tables(con)
            detach_release(con, paths)
            written = manifest(paths.candidate, candidate, tables, published_at)
            write_json(paths.candidate / MANIFEST, written)
            _seal(paths.candidate)
            paths.releases.mkdir(exist_ok=True)
            show_way(paths)
            paths.candidate.rename(paths.releases / release_id)
            sync(paths.releases)
        if make_current:
            _switch(paths, release_id)
        record_release(con, paths, release_id, "publish" if make_current else None)
        _prune(con, paths, keep, release_id)
        return recorded_release(con, paths, release_id)


def switch_to(paths: SourcePaths, release_id: str) -> Release:
    """Make a kept release the current one, for instance one built as of a past date.

    Raises:
        ConfigurationError: No kept release has this id.
    """
    return _switch_back(paths, release_id, "publish")


def rollback(paths: SourcePaths, release_id: str | None = None) -> Release:
    """Make a former release the current one again.

    Args:
        paths: Folders of the source.
        release_id: The release to go to; by default the one published before the current one,
            passing over releases that a rollback already left.

    Raises:
        ConfigurationError: No kept release has this id.
        WinbackError: There is no former release.
    """
    if release_id is None:
        # Newest first: what stands behind the current one was published before it.
        releases = list_releases(paths)
        ids = [release.release_id for release in releases]
        current = current_release(paths)
        former = releases[ids.index(current.release_id) + 1 :] if current else []
        usable = [r for r in former if r.is_kept and r.was_current and not r.is_rolled_back]
        if not usable:
            raise WinbackError(f"{paths.source}: there is no former release to roll back to")
        release_id = usable[0].release_id
    return _switch_back(paths, release_id, "rollback")


def recover(paths: SourcePaths) -> None:
    """Clear what a killed run left and record a switch it could not; call under the lock.

    A finished candidate stays: its publication may be a run of its own.
    """
    if not paths.published.is_dir():
        return
    for folder in (paths.published, paths.releases):
        for entry in _entries(folder):
            if entry.name.startswith(TEMPORARY):
                delete(entry)
    if not has_candidate(paths):
        remove(paths.candidate)
    with open_state(paths) as con:
        current = current_id(paths)
        if current:
            _link_published_file(paths)
            was_current = con.execute(
                "select count(*) > 0 from state.main.switches where release_id = ?", [current]
            ).fetchone()[0]
            record_release(con, paths, current, "rollback" if was_current else "publish")
        recorded = {release.release_id for release in recorded_releases(con, paths)}
        for entry in _entries(paths.releases):
            if entry.name not in recorded:
                remove(entry)


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


def _switch(paths: SourcePaths, release_id: str) -> None:
    """Let readers see another release; the one rename is all there is to it."""
    _link_published_file(paths)
    _replace_link(paths.current, f"{paths.releases.name}/{release_id}")


def _link_published_file(paths: SourcePaths) -> None:
    target = f"{paths.current.name}/{RELEASE_FILE}"
    link = paths.published_file
    if not link.is_symlink() or str(link.readlink()) != target:
        _replace_link(link, target)


def _replace_link(link: Path, target: str) -> None:
    with appearing_whole(link) as temporary:
        temporary.symlink_to(target)


def _switch_back(
    paths: SourcePaths, release_id: str, kind: Literal["publish", "rollback"]
) -> Release:
    # The state is opened before the switch: where it cannot be written nothing moves.
    with open_state(paths) as con:
        kept = [release.release_id for release in recorded_releases(con, paths) if release.is_kept]
        if release_id not in kept:
            raise ConfigurationError(
                f"{paths.source}: no kept release {release_id!r}; kept are: "
                f"{', '.join(kept) or 'none'}"
            )
        _switch(paths, release_id)
        record_release(con, paths, release_id, kind)
        return recorded_release(con, paths, release_id)


def _prune(con: duckdb.DuckDBPyConnection, paths: SourcePaths, keep: int, published: str) -> None:
    """Delete releases beyond the last ones to roll back to, never the current or published one.

    Those that readers never saw, or that were rolled back from, are counted apart: they must not
    push out what there is to roll back to.
    """
    former = [one for one in recorded_releases(con, paths) if one.is_kept and not one.is_current]
    usable = [one for one in former if one.was_current and not one.is_rolled_back]
    others = [one for one in former if one not in usable]
    for release in (*usable[keep:], *others[keep:]):
        if release.release_id != published:
            remove(paths.releases / release.release_id)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
