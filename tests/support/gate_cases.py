"""Judging small files that a test has spoilt, and cases of spoiling them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest

from dagster_project.gates import suites
from dagster_project.gates.outcomes import Outcome, TableVerdict

# Table, SQL of the fault, expectation that fails (several joined by ", "), the value it observes,
# and the first example it names, if any.
Fault = tuple[str, str, str, str, str | None]

# The release's tables by the subject of their models, each with a file of faults.
RELEASE_SUBJECTS = {
    "alerts": {"alerts", "alert_quality"},
    "churn_backtest": {"churn_definition_backtest", "churn_definition_summary"},
    "churn_definitions": {"churn_definitions", "churn_presets"},
    "customers": {"customers", "lifecycle_flow", "cohort_retention"},
    "drivers": {"driver_correlations"},
    "interactions": {"customer_powers"},
    "losses": {"churn_rates", "lost_customers_by_month", "lost_episodes", "winback_candidates"},
    "scores": {
        "customer_scores",
        "model_calibration",
        "model_quality",
        "score_versions",
        "value_forecasts",
    },
    "stages": {"customer_stage_history", "stage_rules", "stage_transitions"},
    "tenure": {"spend_by_tenure", "spend_comparisons"},
    "value": {
        "customer_rfm",
        "customer_values",
        "rfm_groups",
        "value_tier_versions",
        "value_tier_movements",
    },
}


def contract(gate: str, table: str) -> dict[str, str]:
    """Return the columns and types that a suite demands of its table."""
    return suites.read_suite(gate, table)["expectations"][0]["kwargs"]["columns"]


def make(file: Path, sql: str) -> Path:
    """Make a file, or change the one that is there."""
    if not file.exists():
        file.write_bytes(built(sql))
        return file
    with duckdb.connect(str(file)) as connection:
        connection.execute(sql)
    return file


@cache
def built(sql: str) -> bytes:
    """Return the file that the SQL makes, which takes longer than most tests of it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "built.duckdb"
        with duckdb.connect(str(file)) as connection:
            connection.execute(sql)
        return file.read_bytes()


def judge_raw(table: str, warehouse: Path) -> TableVerdict:
    """Judge a table of a warehouse."""
    (verdict,) = suites.validate("raw", [table], warehouse, "raw")
    return verdict


def judge_release(table: str, release: Path, warehouse: Path) -> TableVerdict:
    """Judge a table of a release beside its warehouse."""
    (verdict,) = suites.validate("release", [table], release, "main", {"warehouse": warehouse})
    return verdict


def failed(verdict: TableVerdict) -> dict[str, Outcome]:
    """Return what failed, warnings included, by the expectations' names."""
    return {one.expectation: one for one in verdict.outcomes if not one.is_passed}


def each(faults: Iterable[Fault]) -> pytest.MarkDecorator:
    """Return the mark that gives a test every fault, named by what it makes fail."""
    return pytest.mark.parametrize("fault", [pytest.param(one, id=one[2]) for one in faults])


def meant(fault: Fault) -> list[tuple[str, str, tuple[str, ...], bool]]:
    """Return what a fault is meant to make the gate say, in the form of `found`."""
    _, _, expectation, observed, example = fault
    examples = (example,) if example else ()
    return [(one, observed, examples, True) for one in expectation.split(", ")]


def found(
    fault: Fault, release: Path, warehouse: Path
) -> list[tuple[str, str, tuple[str, ...], bool]]:
    """Spoil a release; return what fails, observed, the first example, and if it is counted."""
    make(release, fault[1])
    return [
        (name, outcome.observed_value, outcome.example_ids[:1], outcome.unexpected_count >= 1)
        for name, outcome in failed(judge_release(fault[0], release, warehouse)).items()
    ]


def shown(
    subject: str, faults: Iterable[Fault], elsewhere: Iterable[tuple[str, str]] = ()
) -> set[tuple[str, str]]:
    """Return table and expectation of all that tests show to fail.

    Args:
        subject: Of `RELEASE_SUBJECTS`.
        faults: Each shows its expectations to fail.
        elsewhere: Those that have a test of their own.
    """
    pairs = {(fault[0], one) for fault in faults for one in fault[2].split(", ")}
    pairs |= set(elsewhere)
    for table in RELEASE_SUBJECTS[subject]:
        # These are shown of all tables at once.
        pairs.add((table, "columns_match_contract"))
        if "currency" in contract("release", table):
            pairs.add((table, "currency_as_declared"))
        if any(
            kind == "VARCHAR"
            for name, kind in contract("release", table).items()
            if name != "currency"
        ):
            pairs.add((table, "no_contact_in_text"))
    return pairs


def expectations(subject: str) -> set[tuple[str, str]]:
    """Return table and expectation of everything demanded of a subject's published tables."""
    return {
        (table, one["meta"]["id"])
        for table in RELEASE_SUBJECTS[subject]
        for one in suites.read_suite("release", table)["expectations"]
    }
