"""What the gates judge against, kept in the warehouse's schema `audit`, and blocked verdicts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path

import duckdb

from dagster_project.config.source import Source
from dagster_project.gates import data_docs
from dagster_project.gates.outcomes import TableVerdict
from dagster_project.paths import SourcePaths
from dagster_project.release import releases
from dagster_project.warehouse import connect, literal

LIMITS_DDL = """
create or replace table audit.limits (
    source_name varchar, currency varchar, as_of_date date, today date, earliest_day date,
    latest_day date, minimum_amount decimal(18, 2), maximum_amount decimal(18, 2),
    maximum_rejected_share double, maximum_customerless_share double, key_columns varchar[],
    keeps_last_duplicate boolean
)"""
FORMER_STAGES_DDL = """
create or replace table audit.former_stages (lifecycle_stage varchar, customer_count bigint)"""


def write_limits(paths: SourcePaths, source: Source, as_of: date, today: date) -> None:
    """Write the source's limits into `audit.limits`, which the suites join."""
    transactions = source.tables["transactions"]
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(LIMITS_DDL)
        connection.execute(
            "insert into audit.limits values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                source.name,
                source.currency,
                as_of,
                today,
                source.first_day,
                source.last_day or today,
                source.limits.minimum_amount,
                source.limits.maximum_amount,
                source.limits.rejected_share,
                source.limits.customerless_share,
                list(transactions.key),
                transactions.duplicates == "keep_last",
            ],
        )


def write_former_stages(paths: SourcePaths) -> None:
    """Write the stage counts of the current release into `audit.former_stages`."""
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(FORMER_STAGES_DDL)
        if paths.published_file.exists():
            connection.execute(f"attach {literal(paths.published_file)} as former (read_only)")
            connection.execute(
                "insert into audit.former_stages select lifecycle_stage, count(*) "
                "from former.main.customers group by all"
            )


def raw_fingerprint(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a hash of what raw holds: the files' contents and mappings, and the days of each.

    Independent of when and in how many loads it came in.
    """
    rows = connection.execute(
        """
        select concat_ws('|', table_name, source_file, load_key, row_count)
        from raw.loads
        union all
        select concat_ws('|', source_file, ordered_on, row_count, amount, used_amount)
        from raw.load_days
        order by all
        """
    ).fetchall()
    return hashlib.sha256("\n".join(row for (row,) in rows).encode()).hexdigest()


def release_identity(
    paths: SourcePaths, source: Source, as_of: date, code_version: str
) -> releases.ReleaseIdentity:
    """Return what a release built now would be made from."""
    with connect(paths, read_only=True) as connection:
        inputs = raw_fingerprint(connection)
    return releases.ReleaseIdentity(
        source=source.name,
        as_of=as_of,
        input_fingerprint=inputs,
        settings_fingerprint=source.settings_fingerprint(),
        code_version=code_version,
    )


def record(
    paths: SourcePaths,
    gate: str,
    verdicts: Sequence[TableVerdict],
    *,
    subject: str,
    raw: str,
    run_id: str,
    file_hash: str | None = None,
) -> None:
    """Record a gate's verdict, without which nothing is published, and write its data docs.

    The docs of a passing release gate go into the candidate, those of a blocked gate under
    `<data dir>/blocked/<source>/<run id>/` with the verdict beside them.
    """
    results = [
        releases.GateResult(
            **{field.name: getattr(outcome, field.name) for field in fields(releases.GateResult)}
        )
        for verdict in verdicts
        for outcome in verdict.outcomes
    ]
    is_passed = releases.record_verdict(
        paths,
        gate=gate,
        subject=subject,
        input_fingerprint=raw,
        results=results,
        run_id=run_id,
        file_hash=file_hash,
    )
    if not is_passed:
        folder = paths.blocked / run_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "verdict.json").write_text(
            json.dumps([verdict.result for verdict in verdicts], indent=2)
        )
        data_docs.build_data_docs(verdicts, folder / "data_docs")
    elif gate == "raw":
        # The release that is built from this raw data shows both gates.
        _raw_verdicts(paths).write_text(json.dumps([asdict(v) for v in verdicts]))
    else:
        both = [*_read_raw_verdicts(paths), *verdicts]
        data_docs.build_data_docs(both, paths.candidate / "data_docs")


def _raw_verdicts(paths: SourcePaths) -> Path:
    return paths.warehouse_dir / "raw_gate.json"


def _read_raw_verdicts(paths: SourcePaths) -> list[TableVerdict]:
    if not _raw_verdicts(paths).exists():
        return []
    return [
        TableVerdict.read(verdict["gate"], verdict["table_name"], verdict["result"])
        for verdict in json.loads(_raw_verdicts(paths).read_text())
    ]


def models_have_changed(paths: SourcePaths) -> bool:
    """Return whether the models differ from those that computed what the warehouse holds.

    Days computed by another version of a model must not stay beside new ones.
    """
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute("create table if not exists audit.models (code_version varchar)")
        built_with = connection.execute("select code_version from audit.models").fetchone()
    return built_with != (releases.code_version(),)


def note_models(paths: SourcePaths) -> None:
    """Record the version of the models that the warehouse was just built with."""
    with connect(paths) as connection:
        connection.execute(
            "create or replace table audit.models as select ? as code_version",
            [releases.code_version()],
        )
