"""The candidate: the next release, built beside the current one and not yet seen by any reader."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.files import remove, write_json
from dagster_project.loading.pseudonyms import noted_fingerprint
from dagster_project.loading.raw_tables import first_days, lines_by_day
from dagster_project.paths import SourcePaths
from dagster_project.release.identity import CodeVersion, NamedInput, ReleaseIdentity
from dagster_project.release.tables import PublishedTable, copy_table, count_rows
from dagster_project.shown import shown, shown_in
from dagster_project.warehouse import MEMORY, attach, connect, rows, utc_now

RELEASE_FILE = "winback.duckdb"
# Present from the end of the build until publication starts to add to the audited file: a
# candidate without it is unfinished and never published.
_BUILD_FILE = "candidate.json"


@dataclass(frozen=True)
class Candidate:
    """A finished candidate: what it was made from, and what its manifest will say of that."""

    identity: ReleaseIdentity
    built_at: datetime
    currency: str
    settings: Mapping[str, Any]
    churn_backtest: Sequence[Mapping[str, Any]]
    feed: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]]
    lines_by_day: Mapping[str, Mapping[str, int]]
    first_days: Mapping[str, Mapping[str, str]]
    row_counts: Sequence[Mapping[str, Any]]
    pseudonym_key: str | None


def candidate_file(paths: SourcePaths) -> Path:
    """Return the DuckDB file of the candidate, which the release gate judges."""
    return paths.candidate / RELEASE_FILE


def build_candidate(
    paths: SourcePaths,
    identity: ReleaseIdentity,
    tables: Sequence[PublishedTable],
    *,
    currency: str,
    settings: Mapping[str, Any],
    churn_backtest: Sequence[Mapping[str, Any]] = (),
    feed: Mapping[str, Any] = MappingProxyType({}),
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
        feed: How far the data reach, for the manifest.

    Returns:
        The candidate's folder, into which the caller puts `data_docs/` after the audit.

    Raises:
        WinbackError: A column is not described, or a described one is absent.
    """
    remove(paths.candidate)
    (paths.candidate / "parquet").mkdir(parents=True)
    # Nobody else's until it is published: what is open already counts as shown.
    paths.candidate.chmod(0o700)
    with connect(paths, MEMORY) as con:
        attach(con, paths.warehouse, "warehouse", read_only=True)
        # Readers with DuckDB 1.0 and later can open this storage version.
        attach(con, candidate_file(paths), "release", storage_version="v1.0.0")
        for table in tables:
            copy_table(con, paths.candidate, table)
        build = {
            "identity": asdict(identity),
            "built_at": utc_now().isoformat(),
            "currency": currency,
            "settings": dict(settings),
            "churn_backtest": [dict(entry) for entry in churn_backtest],
            "feed": dict(feed),
            # File names without folders: a path says more about the machine than about the data.
            "inputs": shown_in(
                rows(
                    con,
                    "select table_name, parse_filename(source_file) as file_name, file_hash, "
                    "row_count from warehouse.raw.loads order by table_name, source_file",
                )
            ),
            "lines_by_day": lines_by_day(con, "warehouse.raw"),
            "first_days": {
                table: {shown(file): day for file, day in files.items()}
                for table, files in first_days(con, "warehouse.raw").items()
            },
            "row_counts": [
                {"table_name": table.name, "row_count": count_rows(con, table.name)}
                for table in tables
            ],
            "pseudonym_key": noted_fingerprint(con, "warehouse.raw"),
        }
        detach_release(con, paths)
    write_json(_build_file(paths), build)
    return paths.candidate


def read_candidate(paths: SourcePaths) -> Candidate:
    """Return the finished candidate.

    Raises:
        WinbackError: There is none, or its build or publication was interrupted.
    """
    try:
        build = json.loads(_build_file(paths).read_text(encoding="utf-8"))
        identity = build.pop("identity")
        return Candidate(
            identity=ReleaseIdentity(
                source=identity["source"],
                as_of=date.fromisoformat(identity["as_of"]),
                inputs=tuple(NamedInput(**one) for one in identity["inputs"]),
                settings_fingerprint=identity["settings_fingerprint"],
                code=CodeVersion(**identity["code"]),
            ),
            built_at=datetime.fromisoformat(build.pop("built_at")),
            **build,
        )
    # One that another version of the program built is none either.
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        raise WinbackError(
            f"{paths.source}: there is no finished candidate, for the last one is published or "
            "was cut short; materialise release/candidate and release/current together"
        ) from error


def has_candidate(paths: SourcePaths) -> bool:
    """Return whether there is a finished candidate, which may be published."""
    return _build_file(paths).exists()


def drop_unfinished(paths: SourcePaths) -> None:
    """Delete a candidate whose build or publication was cut short; a finished one stays."""
    if not has_candidate(paths):
        remove(paths.candidate)


def end_audit(paths: SourcePaths) -> None:
    """Mark the candidate as unfinished: from here on its file is no longer the audited one."""
    _build_file(paths).unlink()


def detach_release(con: duckdb.DuckDBPyConnection, paths: SourcePaths) -> None:
    """Close the candidate's file; readers find it complete, without a log beside it.

    Raises:
        WinbackError: A WAL file was left beside it.
    """
    con.execute("detach release")
    file = candidate_file(paths)
    if file.with_name(f"{file.name}.wal").exists():
        raise WinbackError(f"{file} was not closed properly: a WAL file stands beside it")


def _build_file(paths: SourcePaths) -> Path:
    return paths.candidate / _BUILD_FILE
