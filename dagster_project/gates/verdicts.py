"""The gates' verdicts, recorded in the warehouse's schema `audit`, and what people see of them.

Belongs here: writing and reading verdicts. What they allow is up to the release, which publishes
nothing without passing ones of both gates.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb

from dagster_project.errors import GateBlockedError, WinbackError
from dagster_project.files import write_json
from dagster_project.gates.data_docs import build_data_docs
from dagster_project.gates.outcomes import TableVerdict, blocked_message
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import (
    MEMORY,
    attach,
    connect,
    create_table,
    insert,
    rows,
    utc_now,
)

Gate = Literal["raw", "release"]

RESULT_TYPES = {
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
# The results behind a verdict in the warehouse attached as `warehouse`; parameters are its `key`.
RESULTS_OF_VERDICT = (
    "select * from warehouse.audit.gate_results where gate = ? and subject = ? and run_id = ? "
    "and evaluated_at = ? order by table_name, expectation"
)


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
class RecordedVerdict:
    """A gate's verdict as the warehouse keeps it.

    `subject` is the id of the release that was judged, or for which raw was: raw that is fit for
    one day, with one set of limits, need not be for another. `file_hash` is that of the audited
    candidate file, none for the raw gate.
    """

    gate: Gate
    subject: str
    is_passed: bool
    file_hash: str | None
    run_id: str
    evaluated_at: datetime

    @property
    def key(self) -> list[Any]:
        """The parameters of `RESULTS_OF_VERDICT`."""
        return [self.gate, self.subject, self.run_id, self.evaluated_at]


def record(
    paths: SourcePaths,
    gate: Gate,
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

    Args:
        paths: Folders of the source.
        gate: `raw` or `release`.
        verdicts: One verdict a table of the gate, all of them together.
        subject: Id of the release that was judged, or for which raw was.
        raw: Fingerprint of the raw data that was judged or built from.
        run_id: The Dagster run.
        file_hash: Hash of the audited candidate file; needed for the release gate.

    Raises:
        GateBlockedError: The release gate passed a candidate from raw data that the raw gate
            refused.
        WinbackError: The raw gate's verdict on the candidate's raw data cannot be read again.
    """
    results = [
        GateResult(**{field.name: getattr(outcome, field.name) for field in fields(GateResult)})
        for verdict in verdicts
        for outcome in verdict.outcomes
    ]
    is_passed = record_verdict(
        paths,
        gate=gate,
        subject=subject,
        input_fingerprint=raw,
        results=results,
        run_id=run_id,
        file_hash=file_hash,
    )
    if gate == "raw":
        # The release that is built from this raw data shows both gates.
        stored = [{"table_name": v.table_name, "result": v.result} for v in verdicts]
        write_json(_raw_verdicts_file(paths), {"subject": subject, "verdicts": stored})
    if not is_passed:
        folder = paths.blocked / run_id
        write_json(folder / "verdict.json", [verdict.result for verdict in verdicts])
        build_data_docs(verdicts, folder / "data_docs")
    elif gate == "release":
        of_raw = read_raw_verdicts(paths, subject)
        if not all(verdict.is_passed for verdict in of_raw):
            outcomes = [outcome for verdict in of_raw for outcome in verdict.outcomes]
            raise GateBlockedError(blocked_message(outcomes))
        build_data_docs([*of_raw, *verdicts], paths.candidate / "data_docs")


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
        subject: Id of the release that was judged, or for which raw was.
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
    evaluated_at = utc_now()
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
        attach(con, paths.warehouse, "warehouse")
        con.execute("begin")
        con.execute("create schema if not exists warehouse.audit")
        create_table(con, "warehouse.audit.verdicts", _VERDICT_TYPES)
        create_table(
            con,
            "warehouse.audit.gate_results",
            {"subject": "varchar", **RESULT_TYPES, "run_id": "varchar"},
        )
        insert(con, "warehouse.audit.verdicts", verdict)
        for result in results:
            row = {**asdict(result), "subject": subject, "gate": gate}
            row |= {"evaluated_at": evaluated_at, "run_id": run_id}
            insert(con, "warehouse.audit.gate_results", row)
        con.execute("commit")
    return is_passed


def prune_verdicts(paths: SourcePaths, before: datetime, count: int) -> None:
    """Delete old verdicts and the results behind them, but never those of the last runs.

    Those of a release that was published are in its own file and in the state.
    """
    if not paths.warehouse.exists():
        return
    moment = before.astimezone(UTC).replace(tzinfo=None)
    with connect(paths, MEMORY) as con:
        attach(con, paths.warehouse, "warehouse")
        try:
            old = con.execute(
                "select run_id from warehouse.audit.verdicts group by run_id "
                "having max(evaluated_at) < ? and run_id not in (select run_id from "
                "warehouse.audit.verdicts group by run_id order by max(rowid) desc limit ?)",
                [moment, count],
            ).fetchall()
        except duckdb.CatalogException:
            return
        if old:
            runs = [[run_id for (run_id,) in old]]
            con.execute("begin")
            for table in ("verdicts", "gate_results"):
                con.execute(
                    f"delete from warehouse.audit.{table} where list_contains(?, run_id)", runs
                )
            con.execute("commit")


def latest_verdict(
    con: duckdb.DuckDBPyConnection, gate: Gate, subject: str
) -> RecordedVerdict | None:
    """Return a gate's last verdict on a subject, from the warehouse attached as `warehouse`."""
    columns = ", ".join(field.name for field in fields(RecordedVerdict))
    try:
        # By order of insertion: a clock that was set back must not revive an older verdict.
        found = rows(
            con,
            f"select {columns} from warehouse.audit.verdicts where gate = ? and subject = ? "
            "order by rowid desc limit 1",
            [gate, subject],
        )
    except duckdb.CatalogException:
        return None
    return RecordedVerdict(**found[0]) if found else None


def failures(con: duckdb.DuckDBPyConnection, verdict: RecordedVerdict) -> list[str]:
    """Say which critical expectations failed; the warehouse is attached as `warehouse`."""
    failed = con.execute(
        "select table_name, expectation, observed_value, threshold "
        f"from ({RESULTS_OF_VERDICT}) where severity = 'critical' and not is_passed",
        verdict.key,
    ).fetchall()
    return [
        f"{table}: {expectation} (observed {observed}, expected {threshold})"
        for table, expectation, observed, threshold in failed
    ]


def judged_input(paths: SourcePaths, run_id: str) -> str:
    """Return the fingerprint of the raw data that a run's last gate judged; empty if none did.

    Asked when the run has ended: another program that holds the warehouse is not waited for.
    """
    try:
        with duckdb.connect(str(paths.warehouse), read_only=True) as con:
            found = con.execute(
                "select fingerprint from audit.verdicts where run_id = ? "
                "order by rowid desc limit 1",
                [run_id],
            ).fetchone()
    except duckdb.Error:
        return ""
    return found[0] if found else ""


def read_raw_verdicts(paths: SourcePaths, subject: str) -> list[TableVerdict]:
    """Return what the raw gate found last, read again with all outcomes.

    Args:
        paths: Folders of the source.
        subject: Id of the release that raw must have been judged for.

    Raises:
        WinbackError: They are absent, on other data or not whole.
    """
    file = _raw_verdicts_file(paths)
    remedy = "run again, so that the raw gate judges anew"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        judged = stored["subject"]
        verdicts = [
            TableVerdict.read("raw", one["table_name"], one["result"]) for one in stored["verdicts"]
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WinbackError(f"the raw gate's verdicts in {file} cannot be read; {remedy}") from error
    if judged != subject:
        raise WinbackError(f"the raw gate's verdicts in {file} are on other data or days; {remedy}")
    if not verdicts or not all(verdict.outcomes for verdict in verdicts):
        # Without outcomes nothing would block.
        raise WinbackError(f"the raw gate's verdicts in {file} lack their outcomes; {remedy}")
    return verdicts


def _raw_verdicts_file(paths: SourcePaths) -> Path:
    return paths.warehouse_dir / "raw_gate.json"
