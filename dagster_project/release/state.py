"""The history of releases in the state: what was published when, judged how, and switched to."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from dagster_project.gates.verdicts import RESULT_TYPES
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import RELEASE_FILE
from dagster_project.release.manifest import MANIFEST, read_published_at
from dagster_project.release.tables import PublishedTable
from dagster_project.warehouse import (
    MEMORY,
    attach,
    connect,
    create,
    create_table,
    insert,
    utc_now,
)


@dataclass(frozen=True)
class Release:
    """One release of a source's history.

    `is_kept` is false once its files have been pruned. `is_rolled_back` is true while a rollback
    to an earlier release stands against it: an unchanged run must not publish it again.
    """

    release_id: str
    as_of: date
    published_at: datetime
    is_current: bool
    is_kept: bool
    was_current: bool
    is_rolled_back: bool


_INPUTS_TYPE = (
    "struct(table_name varchar, file_name varchar, file_hash varchar, row_count bigint)[]"
)
_ROW_COUNTS_TYPE = "struct(table_name varchar, row_count bigint)[]"
HISTORY_TYPES = {
    "releases": {
        "release_id": "varchar",
        "source_name": "varchar",
        "as_of_date": "date",
        "built_at": "timestamp",
        "published_at": "timestamp",
        "code_version": "varchar",
        "input_fingerprint": "varchar",
        "settings_fingerprint": "varchar",
        "inputs": _INPUTS_TYPE,
        "row_counts": _ROW_COUNTS_TYPE,
    },
    "gate_results": {"release_id": "varchar", **RESULT_TYPES},
}
_SWITCH_TYPES = {"switched_at": "timestamp", "release_id": "varchar", "kind": "varchar"}

HISTORY_TABLES = (
    PublishedTable(
        "releases",
        "One row per release of this source up to and including this one: what was published "
        "when, from which inputs.",
        {
            "release_id": "The release: its as-of date and the start of its fingerprint.",
            "source_name": "The source (business) the release belongs to.",
            "as_of_date": "Business date whose end the release describes.",
            "built_at": "When its tables were built (UTC).",
            "published_at": "When it had passed its gates and was published (UTC).",
            "code_version": "Version of the program and hash of its files.",
            "input_fingerprint": "Hash of the loaded input files.",
            "settings_fingerprint": "Hash of the source's settings.",
            "inputs": "The input files: canonical table, file name, hash and loaded rows.",
            "row_counts": "Rows of each published table.",
        },
        ("published_at", "release_id"),
    ),
    PublishedTable(
        "gate_results",
        "One row per release, gate and expectation: the observed value against its threshold.",
        {
            "release_id": "The release that was judged.",
            "gate": "raw (what came in) or release (what goes out).",
            "table_name": "The judged table.",
            "expectation": "Id of the expectation in its suite file.",
            "severity": "critical (blocks the release) or warning (reports).",
            "is_passed": "Whether the expectation was met.",
            "observed_value": "What was observed.",
            "threshold": "What was expected.",
            "evaluated_count": "Rows the expectation looked at.",
            "unexpected_count": "Rows that broke the expectation.",
            "evaluated_at": "When the gate judged (UTC).",
        },
        ("release_id", "gate", "table_name", "expectation"),
    ),
)


def list_releases(paths: SourcePaths) -> list[Release]:
    """Return all releases of the source, the latest published first."""
    if not paths.state.exists():
        return []
    with connect(paths, MEMORY) as con:
        attach(con, paths.state, "state", read_only=True)
        return recorded_releases(con, paths)


def current_release(paths: SourcePaths) -> Release | None:
    """Return the release that readers see."""
    return next((release for release in list_releases(paths) if release.is_current), None)


def find_release(paths: SourcePaths, release_id: str) -> Release | None:
    """Return the kept release with this id: if there is one, it need not be built again.

    The caller looks at `is_current` and `is_rolled_back` to tell whether it is to be published.
    """
    releases = list_releases(paths)
    return next((r for r in releases if r.release_id == release_id and r.is_kept), None)


def find_answer(paths: SourcePaths, input_fingerprint: str) -> Release | None:
    """Return the release from these inputs that readers see, or that a person rolled back from.

    As long as there is one, the inputs are published or meant not to be.
    """
    if not paths.state.exists():
        return None
    with connect(paths, MEMORY) as con:
        attach(con, paths.state, "state", read_only=True)
        settled = [r for r in recorded_releases(con, paths) if r.is_current or r.is_rolled_back]
        for release in settled:
            made_from = con.execute(
                "select input_fingerprint from state.main.releases where release_id = ?",
                [release.release_id],
            ).fetchone()
            if made_from == (input_fingerprint,):
                return release
    return None


def current_id(paths: SourcePaths) -> str | None:
    """Return the id that `current` points to, if its release is there."""
    if not (paths.current / MANIFEST).is_file():
        return None
    return paths.current.readlink().name


@contextmanager
def open_state(paths: SourcePaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection with the state attached for writing as `state`.

    Raises:
        WinbackError: Another program holds the state open.
    """
    with connect(paths, MEMORY) as con:
        if not paths.state.exists():
            create(paths.state)
        attach(con, paths.state, "state")
        for table, types in {**HISTORY_TYPES, "switches": _SWITCH_TYPES}.items():
            create_table(con, f"state.main.{table}", types)
        yield con


def record_release(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str, kind: str | None
) -> None:
    """Append to the state what it lacks: the history a release carries, and the switch to it.

    Doing it twice does it once. As each release carries the history before it, this also mends a
    state that was lost.
    """
    attach(con, paths.releases / release_id / RELEASE_FILE, "release", read_only=True)
    con.execute("begin")
    for table in ("gate_results", "releases"):
        con.execute(
            f"insert into state.main.{table} by name select * from release.main.{table} "
            "where release_id not in (select release_id from state.main.releases)"
        )
    last = con.execute(
        "select release_id from state.main.switches order by rowid desc limit 1"
    ).fetchone()
    if kind and (last is None or last[0] != release_id):
        switch = {"switched_at": utc_now(), "release_id": release_id, "kind": kind}
        insert(con, "state.main.switches", switch)
    con.execute("commit")
    con.execute("detach release")


def recorded_releases(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> list[Release]:
    """Return all releases in the attached state, the latest published first."""
    try:
        recorded = con.execute(
            "select release_id, as_of_date, published_at from state.main.releases"
        ).fetchall()
        switches = con.execute(
            "select release_id, kind from state.main.switches order by rowid"
        ).fetchall()
    except duckdb.CatalogException:
        return []
    # A release that was pruned and built again is as young as its files, not as its first row.
    kept = {row[0]: read_published_at(paths.releases / row[0]) for row in recorded}
    published = {row[0]: kept[row[0]] or row[2] for row in recorded}
    current = current_id(paths)
    left = _rolled_back(switches, published)
    ever_current = {release_id for release_id, _ in switches}
    releases = [
        Release(
            release_id=release_id,
            as_of=as_of,
            published_at=published[release_id],
            is_current=release_id == current,
            is_kept=kept[release_id] is not None,
            was_current=release_id in ever_current,
            is_rolled_back=release_id in left,
        )
        for release_id, as_of, _ in recorded
    ]
    return sorted(releases, key=lambda r: (r.published_at, r.release_id), reverse=True)


def recorded_release(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str
) -> Release:
    """Return a release that the attached state has."""
    return next(r for r in recorded_releases(con, paths) if r.release_id == release_id)


def _rolled_back(
    switches: Iterable[tuple[str, str]], published: Mapping[str, datetime]
) -> set[str]:
    """Return the releases that were left for an earlier one and not returned to since."""
    left: set[str] = set()
    former = None
    for release_id, kind in switches:
        if kind == "rollback" and former and published[release_id] < published[former]:
            left.add(former)
        left.discard(release_id)
        former = release_id
    return left
