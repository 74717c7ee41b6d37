"""The state: the history of releases, what was published when, judged how, and switched to.

Belongs here: reading and writing it. The file is never written in place: a copy takes its name at
the end, and what was there before stays beside it, so that no kill leaves half of it and no other
program that looks into it holds up a run.
"""

import filecmp
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.errors import WinbackError, first_line
from dagster_project.files import TEMPORARY, appearing_whole, file_hash, sync
from dagster_project.gates.verdicts import RESULT_TYPES
from dagster_project.paths import SourcePaths
from dagster_project.release.check import faults_of
from dagster_project.release.links import current_id
from dagster_project.release.manifest import moment, read_manifest
from dagster_project.release.tables import PublishedTable
from dagster_project.warehouse import (
    LOCKED,
    MEMORY,
    attach,
    connect,
    create_table,
    identifier,
    insert,
    rows,
    utc_now,
)


@dataclass(frozen=True)
class Release:
    """One release of a source's history.

    `is_kept` is false once its files have been pruned or were found damaged. `is_rolled_back` is
    true while a rollback to an earlier release stands against it: an unchanged run must not publish
    it again. `is_unseen` is true of one that readers were to see when the run was killed.
    """

    release_id: str
    as_of: date
    published_at: datetime
    is_current: bool
    is_kept: bool
    was_current: bool
    is_rolled_back: bool
    is_unseen: bool


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
_STATE_TYPES = {**HISTORY_TYPES, "switches": _SWITCH_TYPES}
# How DuckDB says so; it has no error of its own for it.
_LATER_VERSION = "newer version of DuckDB"

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
    with state_to_read(paths) as con:
        return recorded_releases(con, paths) if con else []


def current_release(paths: SourcePaths) -> Release | None:
    """Return the release that readers see."""
    return next((release for release in list_releases(paths) if release.is_current), None)


def find_release(paths: SourcePaths, release_id: str) -> Release | None:
    """Return the kept release with this id: if there is one, it need not be built again.

    The caller looks at `is_current` and `is_rolled_back` to tell whether it is to be published.
    """
    releases = list_releases(paths)
    return next((r for r in releases if r.release_id == release_id and r.is_kept), None)


def is_rolled_back(paths: SourcePaths, release_id: str) -> bool:
    """Return whether a person rolled back from a release, though its files may have gone since."""
    return any(r.release_id == release_id and r.is_rolled_back for r in list_releases(paths))


def find_answer(paths: SourcePaths, input_fingerprint: str) -> Release | None:
    """Return the release from these inputs that readers see, or that a person rolled back from.

    As long as there is one, the inputs are published or meant not to be.
    """
    with state_to_read(paths) as con:
        if con is None:
            return None
        for release in recorded_releases(con, paths):
            if not (release.is_current or release.is_rolled_back):
                continue
            # A damaged one is built again.
            if release.is_current and faults_of(paths.releases / release.release_id, paths.source):
                continue
            made_from = con.execute(
                "select input_fingerprint from state.main.releases where release_id = ?",
                [release.release_id],
            ).fetchone()
            if made_from == (input_fingerprint,):
                return release
    return None


def fault_of_state(paths: SourcePaths, file: Path) -> str | None:
    """Return in words why a file is no state; None if every row of it can be read.

    Raises:
        WinbackError: Nothing is known to be wrong with it: another program keeps it open for
            writing, or it is of a later version.
        OSError: This user may not read it.
    """
    if not file.exists():
        return "is missing"
    if not file.is_file():
        return "is no file"
    if not file_hash(file) or not file.stat().st_size:
        return "is empty"
    with connect(paths, MEMORY) as con:
        try:
            attach(con, file, "state", read_only=True)
            tables = con.execute(
                "select table_name from duckdb_tables() where database_name = 'state'"
            ).fetchall()
            for (name,) in tables:
                # Reads every block, each of which has its checksum.
                con.execute(f"select bit_xor(hash(t)) from state.main.{identifier(name)} as t")
        except duckdb.OutOfMemoryException:
            raise
        except (WinbackError, duckdb.Error) as error:
            said = str(error.__cause__ or error)
            if LOCKED in said:
                raise
            if _LATER_VERSION in said:
                raise WinbackError(
                    f"{file} was written by a later version of DuckDB than this one. Nothing was "
                    "changed; install the later version of this program again and run again."
                ) from error
            return f"cannot be read ({first_line(said)})"
    return None if _STATE_TYPES.keys() <= {name for (name,) in tables} else "holds no history"


@contextmanager
def state_to_read(paths: SourcePaths) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """Give a connection with the state attached; None if there is none that can be read.

    Whoever looks has no lock: it is for the next run to mend it.
    """
    for file in (paths.state, paths.former_state):
        if file.exists() and fault_of_state(paths, file) is None:
            with connect(paths, MEMORY) as con:
                attach(con, file, "state", read_only=True)
                yield con
            return
    yield None


@contextmanager
def open_state(paths: SourcePaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection with a copy of the state attached for writing as `state`.

    The copy takes the place of the state when the caller is done, whole or not at all. What was
    there before stays beside it; nothing moves where nothing was changed.

    Raises:
        WinbackError: The state cannot be read, or another program writes to it.
    """
    state = paths.state
    state.parent.mkdir(parents=True, exist_ok=True)
    working = state.with_name(f"{TEMPORARY}{state.name}")
    _delete_database(working)
    try:
        with connect(paths, MEMORY) as con:
            if state.exists():
                _copy_state(con, paths, working)
            attach(con, working, "state")
            working.chmod(0o600)
            for table, types in _STATE_TYPES.items():
                create_table(con, f"state.main.{table}", types)
            yield con
            con.execute("detach state")
        if wal_of(working).exists():
            raise WinbackError(f"{working} was not closed properly; run again")
        if not state.exists():
            _take_name(working, state)
        elif not filecmp.cmp(working, state, shallow=False):
            with appearing_whole(paths.former_state) as former:
                shutil.copy(state, former)
            _take_name(working, state)
    finally:
        _delete_database(working)


def wal_of(database: Path) -> Path:
    """Return the file in which DuckDB logs what is not in a database yet."""
    return database.with_name(f"{database.name}.wal")


def _copy_state(con: duckdb.DuckDBPyConnection, paths: SourcePaths, working: Path) -> None:
    if wal_of(paths.state).exists():
        # Left by a program that wrote in place; it belongs to that very file.
        attach(con, paths.state, "former")
        con.execute("checkpoint former")
    else:
        # Held meanwhile, so that nobody writes into what is copied.
        attach(con, paths.state, "former", read_only=True)
    shutil.copy(paths.state, working)
    con.execute("detach former")


def _take_name(working: Path, file: Path) -> None:
    sync(working)
    # One that is left there is of a file that has gone.
    wal_of(file).unlink(missing_ok=True)
    working.replace(file)
    sync(file.parent)


def _delete_database(file: Path) -> None:
    # The log first: beside another file it would be taken for that one's.
    wal_of(file).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def record_release(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str, kind: str | None
) -> None:
    """Append to the state what it lacks: the history a release carries, and the switch to it.

    Doing it twice does it once. As each release carries the history before it, this also mends a
    state that was lost.
    """
    attach(con, paths.release_file(release_id), "release", read_only=True)
    con.execute("begin")
    for table in ("gate_results", "releases"):
        con.execute(
            f"insert into state.main.{table} by name select * from release.main.{table} "
            "where release_id not in (select release_id from state.main.releases)"
        )
    con.execute("commit")
    con.execute("detach release")
    if kind and last_switch(con) != release_id:
        append_switch(con, utc_now(), release_id, kind)


def append_switch(
    con: duckdb.DuckDBPyConnection, switched_at: datetime, release_id: str, kind: str
) -> None:
    """Append to the attached state that readers were given another release."""
    switch = {"switched_at": switched_at, "release_id": release_id, "kind": kind}
    insert(con, "state.main.switches", switch)


def last_switch(con: duckdb.DuckDBPyConnection) -> str | None:
    """Return the release that readers were given last, as the attached state has it."""
    last = con.execute(
        "select release_id from state.main.switches order by rowid desc limit 1"
    ).fetchone()
    return last[0] if last else None


def recorded_switches(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return what readers were given, in its order, as the attached state has it."""
    columns = ", ".join(_SWITCH_TYPES)
    return rows(con, f"select {columns} from state.main.switches order by rowid")


def recorded_releases(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> list[Release]:
    """Return all releases in the attached state, the latest published first."""
    recorded = con.execute(
        "select release_id, as_of_date, published_at from state.main.releases"
    ).fetchall()
    switches = [(one["release_id"], one["kind"]) for one in recorded_switches(con)]
    kept = {row[0]: _kept(paths.releases / row[0]) for row in recorded}
    # A release that was pruned and built again is as young as its files, not as its first row.
    published = {row[0]: kept[row[0]][0] if kept[row[0]] else row[2] for row in recorded}
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
            is_unseen=kept[release_id] is not None
            and kept[release_id][1]
            and release_id not in ever_current,
        )
        for release_id, as_of, _ in recorded
    ]
    return sorted(releases, key=lambda r: (r.published_at, r.release_id), reverse=True)


def recorded_release(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str
) -> Release:
    """Return a release that the attached state has."""
    return next(r for r in recorded_releases(con, paths) if r.release_id == release_id)


def _kept(folder: Path) -> tuple[datetime, bool] | None:
    """Return when the release in a folder was published and whether for readers to see."""
    try:
        manifest = read_manifest(folder)
        if manifest["release_id"] != folder.name:
            return None
        return moment(manifest["published_at"]), bool(manifest.get("made_current"))
    except PermissionError:
        raise
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _rolled_back(
    switches: Iterable[tuple[str, str]], published: Mapping[str, datetime]
) -> set[str]:
    """Return the releases that were left for an earlier one and not returned to since."""
    left: set[str] = set()
    former = None
    for release_id, kind in switches:
        is_known = release_id in published and former in published
        if kind == "rollback" and is_known and published[release_id] < published[former]:
            left.add(former)
        left.discard(release_id)
        former = release_id
    return left
