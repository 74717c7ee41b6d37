"""Releases: built beside the current one, published by one rename, rolled back by another.

Everything that writes below `<data dir>/published/` and into the release history of the state is
here. Callers hold the source's lock, except for the functions that only read.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import duckdb

from dagster_project.errors import ConfigurationError, GateBlockedError, WinbackError
from dagster_project.paths import DBT_DIR, EXPECTATIONS_DIR, PROJECT_DIR, SourcePaths
from dagster_project.warehouse import LOCK_PATIENCE_SECONDS, MEMORY, connect, identifier, literal

SCHEMA_VERSION = "2.1"
COMPATIBILITY = (
    "The minor number rises when tables or columns are added, the major number when anything is "
    "removed, renamed or changes its type or meaning. A reader of 2.0 can read every 2.x."
)
KEPT_RELEASES = 7

_FILE = "winback.duckdb"
_MANIFEST = "manifest.json"
# Present from the end of the build until publication starts to add to the audited file: a
# candidate without it is unfinished and never published.
_CANDIDATE_MANIFEST = "candidate.json"
_TEMPORARY = ".tmp-"
_CODE_SUFFIXES = {".csv", ".json", ".md", ".py", ".sql", ".yaml", ".yml"}

Gate = Literal["raw", "release"]


@dataclass(frozen=True)
class ReleaseIdentity:
    """What a release is made from; the same identity always gives the same release."""

    source: str
    as_of: date
    input_fingerprint: str
    settings_fingerprint: str
    code_version: str

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the content."""
        parts = (
            self.input_fingerprint,
            self.settings_fingerprint,
            self.as_of.isoformat(),
            self.code_version,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def release_id(self) -> str:
        """As-of date and the start of the fingerprint."""
        return f"{self.as_of.isoformat()}-{self.fingerprint[:10]}"


@dataclass(frozen=True)
class PublishedTable:
    """A table of the release: its comments, and a unique order that makes the file reproducible."""

    name: str
    description: str
    columns: Mapping[str, str]
    order_by: Sequence[str]


@dataclass(frozen=True)
class GateResult:
    """What one expectation observed."""

    table_name: str
    expectation: str
    severity: Literal["critical", "warning"]
    is_passed: bool
    observed_value: str | None
    threshold: str | None
    evaluated_count: int | None
    unexpected_count: int | None


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
_RESULT_TYPES = {
    "gate": "varchar",
    "table_name": "varchar",
    "expectation": "varchar",
    "severity": "varchar",
    "is_passed": "boolean",
    "observed_value": "varchar",
    "threshold": "varchar",
    "evaluated_count": "bigint",
    "unexpected_count": "bigint",
    "evaluated_at": "timestamp",
}
_VERDICT_TYPES = {
    "subject": "varchar",
    "gate": "varchar",
    "is_passed": "boolean",
    "fingerprint": "varchar",
    "file_hash": "varchar",
    "run_id": "varchar",
    "evaluated_at": "timestamp",
}
_HISTORY_TYPES = {
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
    "gate_results": {"release_id": "varchar", **_RESULT_TYPES},
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


def code_version() -> str:
    """Return the package version and a hash of the program's files, uncommitted edits included."""
    folders = [DBT_DIR / name for name in ("models", "macros", "seeds", "tests")]
    files = [
        *(PROJECT_DIR / "dagster_project").rglob("*"),
        DBT_DIR / "dbt_project.yml",
        *(file for folder in [*folders, EXPECTATIONS_DIR] for file in folder.rglob("*")),
    ]
    digest = hashlib.sha256()
    # Suffixes keep editors' leftovers from changing the version.
    for file in sorted(file for file in files if file.suffix in _CODE_SUFFIXES and file.is_file()):
        content_hash = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(PROJECT_DIR).as_posix()} {content_hash}\n".encode())
    return f"{metadata.version('winback')}+{digest.hexdigest()[:10]}"


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def candidate_file(paths: SourcePaths) -> Path:
    """Return the DuckDB file of the candidate, which the release gate judges."""
    return paths.candidate / _FILE


def build_candidate(
    paths: SourcePaths,
    identity: ReleaseIdentity,
    tables: Sequence[PublishedTable],
    *,
    currency: str,
    settings: Mapping[str, Any],
    churn_backtest: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the candidate from the warehouse's marts, replacing a former candidate.

    Args:
        paths: Folders of the source.
        identity: What the candidate is made from.
        tables: The marts to publish; every column needs a description.
        currency: Currency of all money columns.
        settings: The settings that shaped the numbers, for the manifest; no secrets.
        churn_backtest: How the churn definition in force fared, one entry a horizon, for the
            manifest.

    Returns:
        The candidate's folder, into which the caller puts `data_docs/` after the audit.
    """
    _remove(paths.candidate)
    (paths.candidate / "parquet").mkdir(parents=True)
    with connect(paths, MEMORY) as con:
        _attach(con, paths.warehouse, "warehouse", "(read_only)")
        # Readers with DuckDB 1.0 and later can open this storage version.
        _attach(con, candidate_file(paths), "release", "(storage_version 'v1.0.0')")
        for table in tables:
            order = ", ".join(identifier(column) for column in table.order_by)
            con.execute(
                f"create table release.main.{identifier(table.name)} as "
                f"select * from warehouse.marts.{identifier(table.name)} order by {order}"
            )
            _finish_table(con, paths.candidate, table)
        build = {
            "identity": {**asdict(identity), "as_of": identity.as_of.isoformat()},
            "built_at": _now().isoformat(),
            "currency": currency,
            "settings": dict(settings),
            "churn_backtest": [dict(entry) for entry in churn_backtest],
            # File names without folders: a path says more about the machine than about the data.
            "inputs": _rows(
                con,
                "select table_name, parse_filename(source_file) as file_name, file_hash, row_count"
                " from warehouse.raw.loads order by table_name, source_file",
            ),
            "row_counts": [
                {"table_name": table.name, "row_count": _count(con, table.name)} for table in tables
            ],
        }
        _detach_release(con, paths)
    _write_json(paths.candidate / _CANDIDATE_MANIFEST, build)
    return paths.candidate


def candidate_identity(paths: SourcePaths) -> ReleaseIdentity:
    """Return what the finished candidate was made from.

    Raises:
        WinbackError: There is no candidate, or its build or publication was interrupted.
    """
    return _identity(_read_candidate(paths))


def record_verdict(
    paths: SourcePaths,
    *,
    gate: Gate,
    subject: str,
    input_fingerprint: str,
    results: Sequence[GateResult],
    run_id: str,
    file_hash: str | None = None,
) -> bool:
    """Append a gate's verdict and its results to the warehouse's audit schema.

    Args:
        paths: Folders of the source.
        gate: `raw` or `release`.
        subject: What was judged: the input fingerprint (raw) or the release id (release).
        input_fingerprint: Fingerprint of the raw data that was judged or built from.
        results: One result per expectation of the gate, all of them together.
        run_id: The Dagster run.
        file_hash: Hash of the audited candidate file; needed for the release gate.

    Returns:
        Whether the gate passed: every critical expectation did.
    """
    if not results:
        raise WinbackError(f"the {gate} gate evaluated no expectation; check its suites")
    if gate == "release" and file_hash is None:
        raise ValueError("a verdict of the release gate needs the hash of the audited file")
    is_passed = all(result.is_passed for result in results if result.severity == "critical")
    evaluated_at = _now()
    verdict = {
        "subject": subject,
        "gate": gate,
        "is_passed": is_passed,
        "fingerprint": input_fingerprint,
        "file_hash": file_hash,
        "run_id": run_id,
        "evaluated_at": evaluated_at,
    }
    with connect(paths, MEMORY) as con:
        _attach(con, paths.warehouse, "warehouse")
        con.execute("begin")
        con.execute("create schema if not exists warehouse.audit")
        _create_table(con, "warehouse.audit.verdicts", _VERDICT_TYPES)
        _create_table(
            con,
            "warehouse.audit.gate_results",
            {"subject": "varchar", **_RESULT_TYPES, "run_id": "varchar"},
        )
        _insert(con, "warehouse.audit.verdicts", verdict)
        for result in results:
            row = {**asdict(result), "subject": subject, "gate": gate}
            row |= {"evaluated_at": evaluated_at, "run_id": run_id}
            _insert(con, "warehouse.audit.gate_results", row)
        con.execute("commit")
    return is_passed


def publish(paths: SourcePaths, *, make_current: bool, keep: int = KEPT_RELEASES) -> Release:
    """Turn the audited candidate into a release and, if wanted, make it the current one.

    Args:
        paths: Folders of the source.
        make_current: Whether readers shall see it; otherwise it is only kept.
        keep: How many releases to keep on disk; the current one is kept in any case.

    Returns:
        The release. If one with the same id is already kept, that one stays as it is.

    Raises:
        GateBlockedError: Its latest verdicts are absent or failed, or it changed since its audit.
        WinbackError: There is no finished candidate.
    """
    candidate = _read_candidate(paths)
    release_id = _identity(candidate).release_id
    with _open_state(paths) as con:
        _attach(con, paths.warehouse, "warehouse", "(read_only)")
        verdicts = _require_verdicts(con, paths, candidate)
        if (paths.releases / release_id).exists():
            _remove(paths.candidate)
        else:
            # From here on the file is no longer the audited one: if this run dies, the candidate
            # has to be built again.
            (paths.candidate / _CANDIDATE_MANIFEST).unlink()
            published_at = _now()
            _attach(con, candidate_file(paths), "release")
            _append_history(con, paths, candidate, verdicts, published_at)
            tables = _describe_tables(con)
            _detach_release(con, paths)
            manifest = _manifest(paths, candidate, tables, published_at)
            _write_json(paths.candidate / _MANIFEST, manifest)
            _seal(paths.candidate)
            paths.releases.mkdir(exist_ok=True)
            paths.candidate.rename(paths.releases / release_id)
            _sync(paths.releases)
        if make_current:
            _switch(paths, release_id)
        _record(con, paths, release_id, "publish" if make_current else None)
        _prune(con, paths, keep, release_id)
        return _release(con, paths, release_id)


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


def list_releases(paths: SourcePaths) -> list[Release]:
    """Return all releases of the source, the latest published first."""
    if not paths.state.exists():
        return []
    with connect(paths, MEMORY) as con:
        _attach(con, paths.state, "state", "(read_only)")
        return _releases(con, paths)


def current_release(paths: SourcePaths) -> Release | None:
    """Return the release that readers see."""
    return next((release for release in list_releases(paths) if release.is_current), None)


def find_release(paths: SourcePaths, release_id: str) -> Release | None:
    """Return the kept release with this id: if there is one, it need not be built again.

    The caller looks at `is_current` and `is_rolled_back` to tell whether it is to be published.
    """
    releases = list_releases(paths)
    return next((r for r in releases if r.release_id == release_id and r.is_kept), None)


def recover(paths: SourcePaths) -> None:
    """Clear what a killed run left and record a switch it could not; call under the lock.

    A finished candidate stays: its publication may be a run of its own.
    """
    if not paths.published.is_dir():
        return
    for folder in (paths.published, paths.releases):
        for entry in _entries(folder):
            if entry.name.startswith(_TEMPORARY):
                _delete(entry)
    if not (paths.candidate / _CANDIDATE_MANIFEST).exists():
        _remove(paths.candidate)
    with _open_state(paths) as con:
        current_id = _current_id(paths)
        if current_id:
            _link_published_file(paths)
            was_current = con.execute(
                "select count(*) > 0 from state.main.switches where release_id = ?", [current_id]
            ).fetchone()[0]
            _record(con, paths, current_id, "rollback" if was_current else "publish")
        recorded = {release.release_id for release in _releases(con, paths)}
        for entry in _entries(paths.releases):
            if entry.name not in recorded:
                _remove(entry)


# --- verdicts ---------------------------------------------------------------------------------


def _require_verdicts(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, candidate: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the latest verdicts of both gates on the candidate, which must be passing."""
    identity = _identity(candidate)
    verdicts = []
    for gate, subject in (("raw", identity.input_fingerprint), ("release", identity.release_id)):
        verdict = _latest_verdict(con, gate, subject)
        if verdict is None:
            raise GateBlockedError(
                f"{identity.release_id} is not published: no verdict of the {gate} gate on it is "
                "recorded; run the gate first"
            )
        if not verdict["is_passed"]:
            raise GateBlockedError(
                f"{identity.release_id} is not published, the {gate} gate refused it: "
                + "; ".join(_failures(con, verdict))
            )
        verdicts.append(verdict)
    if verdicts[1]["file_hash"] != file_hash(candidate_file(paths)):
        raise GateBlockedError(
            f"{identity.release_id} is not published: its file has changed since the release gate "
            "judged it; build and audit it again"
        )
    return verdicts


def _latest_verdict(
    con: duckdb.DuckDBPyConnection, gate: str, subject: str
) -> dict[str, Any] | None:
    try:
        # By order of insertion: a clock that was set back must not revive an older verdict.
        rows = _rows(
            con,
            "select * from warehouse.audit.verdicts where gate = ? and subject = ? "
            "order by rowid desc limit 1",
            [gate, subject],
        )
    except duckdb.CatalogException:
        return None
    return rows[0] if rows else None


def _failures(con: duckdb.DuckDBPyConnection, verdict: Mapping[str, Any]) -> list[str]:
    rows = con.execute(
        "select table_name, expectation, observed_value, threshold "
        f"from ({_RESULTS_OF_VERDICT}) where severity = 'critical' and not is_passed",
        _verdict_key(verdict),
    ).fetchall()
    return [
        f"{table}: {expectation} (observed {observed}, expected {threshold})"
        for table, expectation, observed, threshold in rows
    ]


_RESULTS_OF_VERDICT = (
    "select * from warehouse.audit.gate_results where gate = ? and subject = ? and run_id = ? "
    "and evaluated_at = ? order by table_name, expectation"
)


def _verdict_key(verdict: Mapping[str, Any]) -> list[Any]:
    return [verdict[column] for column in ("gate", "subject", "run_id", "evaluated_at")]


# --- the release's files ----------------------------------------------------------------------


def _append_history(
    con: duckdb.DuckDBPyConnection,
    paths: SourcePaths,
    candidate: Mapping[str, Any],
    verdicts: Iterable[Mapping[str, Any]],
    published_at: datetime,
) -> None:
    """Add `releases` and `gate_results` to the attached candidate."""
    identity = _identity(candidate)
    release_id = identity.release_id
    for table, types in _HISTORY_TYPES.items():
        _create_table(con, f"release.main.{table}", types)
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
        "built_at": datetime.fromisoformat(candidate["built_at"]),
        "published_at": published_at,
        "code_version": identity.code_version,
        "input_fingerprint": identity.input_fingerprint,
        "settings_fingerprint": identity.settings_fingerprint,
        "inputs": candidate["inputs"],
        "row_counts": candidate["row_counts"],
    }
    _insert(con, "release.main.releases", row)
    for verdict in verdicts:
        con.execute(
            "insert into release.main.gate_results by name "
            f"select ? as release_id, {', '.join(_RESULT_TYPES)} from ({_RESULTS_OF_VERDICT})",
            [release_id, *_verdict_key(verdict)],
        )
    for table in HISTORY_TABLES:
        _finish_table(con, paths.candidate, table)


def _finish_table(con: duckdb.DuckDBPyConnection, folder: Path, table: PublishedTable) -> None:
    """Add the comments to a table of the attached release and write its Parquet copy."""
    name = f"release.main.{identifier(table.name)}"
    columns = {row[0] for row in con.execute(f"describe {name}").fetchall()}
    if columns != set(table.columns):
        raise WinbackError(
            f"published table {table.name}: these columns are described but absent, or present "
            f"but not described: {', '.join(sorted(columns ^ set(table.columns)))}"
        )
    con.execute(f"comment on table {name} is {literal(table.description)}")
    for column, description in table.columns.items():
        con.execute(f"comment on column {name}.{identifier(column)} is {literal(description)}")
    con.execute(
        f"copy {name} to {literal(folder / 'parquet' / f'{table.name}.parquet')} "
        "(format parquet, compression zstd)"
    )


def _describe_tables(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    tables = _rows(
        con,
        "select table_name as name, comment as description from duckdb_tables() "
        "where database_name = 'release' order by table_name",
    )
    for table in tables:
        table["row_count"] = _count(con, table["name"])
        table["columns"] = _rows(
            con,
            "select column_name as name, data_type as type, comment as description "
            "from duckdb_columns() where database_name = 'release' and table_name = ? "
            "order by column_index",
            [table["name"]],
        )
    return tables


def _manifest(
    paths: SourcePaths,
    candidate: Mapping[str, Any],
    tables: Sequence[Mapping[str, Any]],
    published_at: datetime,
) -> dict[str, Any]:
    identity = _identity(candidate)
    files = [candidate_file(paths), *sorted((paths.candidate / "parquet").iterdir())]
    return {
        "schema_version": SCHEMA_VERSION,
        "compatibility": COMPATIBILITY,
        "release_id": identity.release_id,
        "source": identity.source,
        "as_of": identity.as_of.isoformat(),
        "built_at": f"{candidate['built_at']}Z",
        "published_at": f"{published_at.isoformat()}Z",
        "code_version": identity.code_version,
        "fingerprint": identity.fingerprint,
        "input_fingerprint": identity.input_fingerprint,
        "settings_fingerprint": identity.settings_fingerprint,
        "currency": candidate["currency"],
        "settings": candidate["settings"],
        "churn_backtest": candidate["churn_backtest"],
        "inputs": candidate["inputs"],
        "tables": tables,
        "files": {
            file.relative_to(paths.candidate).as_posix(): {
                "sha256": file_hash(file),
                "bytes": file.stat().st_size,
            }
            for file in files
        },
    }


def _read_candidate(paths: SourcePaths) -> dict[str, Any]:
    try:
        return json.loads((paths.candidate / _CANDIDATE_MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise WinbackError(
            f"{paths.source}: there is no finished candidate release; build release/candidate first"
        ) from error


def _identity(candidate: Mapping[str, Any]) -> ReleaseIdentity:
    values = candidate["identity"]
    return ReleaseIdentity(**{**values, "as_of": date.fromisoformat(values["as_of"])})


def _detach_release(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> None:
    """Close the candidate's file; readers find it complete, without a log beside it."""
    con.execute("detach release")
    file = candidate_file(paths)
    if file.with_name(f"{file.name}.wal").exists():
        raise WinbackError(f"{file} was not closed properly: a WAL file stands beside it")


def _seal(folder: Path) -> None:
    """Make all files read-only and bring files and folders safely to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o444)
        _sync(path)
    _sync(folder)


# --- switching and pruning --------------------------------------------------------------------


def _switch(paths: SourcePaths, release_id: str) -> None:
    """Let readers see another release; the one rename is all there is to it."""
    _link_published_file(paths)
    _replace_link(paths.current, f"{paths.releases.name}/{release_id}")


def _link_published_file(paths: SourcePaths) -> None:
    target = f"{paths.current.name}/{_FILE}"
    link = paths.published_file
    if not link.is_symlink() or str(link.readlink()) != target:
        _replace_link(link, target)


def _replace_link(link: Path, target: str) -> None:
    temporary = link.with_name(f"{_TEMPORARY}{link.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    _sync(link.parent)


def _current_id(paths: SourcePaths) -> str | None:
    """Return the id that `current` points to, if its release is there."""
    if not (paths.current / _MANIFEST).is_file():
        return None
    return paths.current.readlink().name


def _switch_back(
    paths: SourcePaths, release_id: str, kind: Literal["publish", "rollback"]
) -> Release:
    # The state is opened before the switch: where it cannot be written nothing moves.
    with _open_state(paths) as con:
        kept = [release.release_id for release in _releases(con, paths) if release.is_kept]
        if release_id not in kept:
            raise ConfigurationError(
                f"{paths.source}: no kept release {release_id!r}; kept are: "
                f"{', '.join(kept) or 'none'}"
            )
        _switch(paths, release_id)
        _record(con, paths, release_id, kind)
        return _release(con, paths, release_id)


def _prune(con: duckdb.DuckDBPyConnection, paths: SourcePaths, keep: int, published: str) -> None:
    """Delete the files of all but the last releases, never the current or the published one."""
    kept = [release for release in _releases(con, paths) if release.is_kept]
    for release in kept[max(keep, 1) :]:
        if not release.is_current and release.release_id != published:
            _remove(paths.releases / release.release_id)


def _remove(folder: Path) -> None:
    """Delete a folder; nobody ever sees half of it under its own name."""
    if folder.exists():
        temporary = folder.with_name(f"{_TEMPORARY}{folder.name}")
        _delete(temporary)
        folder.rename(temporary)
        _delete(temporary)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


# --- the history in the state -----------------------------------------------------------------


@contextmanager
def _open_state(paths: SourcePaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection with the state attached for writing as `state`."""
    paths.state.parent.mkdir(parents=True, exist_ok=True)
    with connect(paths, MEMORY) as con:
        if not paths.state.exists():
            # Under another name until it is whole: half a state could never be opened again.
            temporary = paths.state.with_name(f"{_TEMPORARY}{paths.state.name}")
            temporary.unlink(missing_ok=True)
            _attach(con, temporary, "state")
            con.execute("detach state")
            temporary.replace(paths.state)
        _attach(con, paths.state, "state")
        for table, types in {**_HISTORY_TYPES, "switches": _SWITCH_TYPES}.items():
            _create_table(con, f"state.main.{table}", types)
        yield con


def _record(
    con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str, kind: str | None
) -> None:
    """Append to the state what it lacks: the history a release carries, and the switch to it.

    Doing it twice does it once. As each release carries the history before it, this also mends a
    state that was lost.
    """
    _attach(con, paths.releases / release_id / _FILE, "release", "(read_only)")
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
        switch = {"switched_at": _now(), "release_id": release_id, "kind": kind}
        _insert(con, "state.main.switches", switch)
    con.execute("commit")
    con.execute("detach release")


def _releases(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> list[Release]:
    try:
        recorded = con.execute(
            "select release_id, as_of_date, published_at from state.main.releases"
        ).fetchall()
        switches = con.execute(
            "select release_id, kind from state.main.switches order by rowid"
        ).fetchall()
    except duckdb.CatalogException:
        return []
    kept = {row[0]: _kept_since(paths, row[0]) for row in recorded}
    published = {row[0]: kept[row[0]] or row[2] for row in recorded}
    current_id = _current_id(paths)
    left = _rolled_back(switches, published)
    ever_current = {release_id for release_id, _ in switches}
    releases = [
        Release(
            release_id=release_id,
            as_of=as_of,
            published_at=published[release_id],
            is_current=release_id == current_id,
            is_kept=kept[release_id] is not None,
            was_current=release_id in ever_current,
            is_rolled_back=release_id in left,
        )
        for release_id, as_of, _ in recorded
    ]
    return sorted(releases, key=lambda r: (r.published_at, r.release_id), reverse=True)


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


def _kept_since(paths: SourcePaths, release_id: str) -> datetime | None:
    """Return when the release on disk was published; None if its files are gone.

    A release that was pruned and built again is as young as its files, not as its first row in
    the history.
    """
    try:
        text = (paths.releases / release_id / _MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return datetime.fromisoformat(json.loads(text)["published_at"]).replace(tzinfo=None)


def _release(con: duckdb.DuckDBPyConnection, paths: SourcePaths, release_id: str) -> Release:
    return next(r for r in _releases(con, paths) if r.release_id == release_id)


# --- DuckDB and files -------------------------------------------------------------------------


def _attach(con: duckdb.DuckDBPyConnection, file: Path, name: str, options: str = "") -> None:
    """Attach a file, waiting a while if another program (a reader of the state) has it open."""
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            con.execute(f"attach {literal(file)} as {name} {options}")
            return
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise WinbackError(f"cannot open {file}: {error}") from error
            if time.monotonic() > deadline:
                raise WinbackError(
                    f"{file} is open in another program; close it there and run again"
                ) from error
            time.sleep(0.1)


def _create_table(con: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str]) -> None:
    columns = ", ".join(f"{column} {type_}" for column, type_ in types.items())
    con.execute(f"create table if not exists {name} ({columns})")


def _insert(con: duckdb.DuckDBPyConnection, name: str, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" for _ in row)
    con.execute(f"insert into {name} ({', '.join(row)}) values ({marks})", list(row.values()))


def _rows(
    con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    cursor = con.execute(query, list(parameters))
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return con.execute(f"select count(*) from release.main.{identifier(table)}").fetchone()[0]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    temporary = file.with_name(f"{_TEMPORARY}{file.name}")
    temporary.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
    )
    temporary.replace(file)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
