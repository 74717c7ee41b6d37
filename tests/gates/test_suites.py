"""Suites: well-formed, and what cannot be judged is a failure of the run, never a verdict."""

import json
from pathlib import Path

import pytest
from support.gate_cases import judge_raw, make

from dagster_project.errors import WinbackError
from dagster_project.gates import suites
from dagster_project.gates.suites import read_suite


@pytest.mark.parametrize("gate", ["raw", "release"])
def test_suites_are_well_formed(gate: str) -> None:
    for table in suites.suite_tables(gate):
        assert read_suite(gate, table)["name"] == f"{gate}.{table}"
        expectations = read_suite(gate, table)["expectations"]
        ids = [one["meta"]["id"] for one in expectations]
        assert len(ids) == len(set(ids))
        for one in expectations:
            assert one["severity"] in ("critical", "warning")
            assert one["description"].endswith(".")
            assert one["meta"]["remedy"].endswith(".")


def test_expectation_that_raises_is_a_failure_of_the_run(warehouse: Path) -> None:
    make(warehouse, "alter table raw.transactions drop line_type")
    with pytest.raises(WinbackError) as raised:
        judge_raw("transactions", warehouse)
    assert raised.value.exit_code == 1
    message = str(raised.value)
    assert "raw gate" in message
    assert "transactions" in message
    assert "expectation required_values_present raised" in message
    assert '"line_type" not found' in message
    assert "\n" not in message


@pytest.mark.parametrize("fault", ["drop table raw.loads", "drop table audit.limits"])
def test_missing_table_is_a_failure_of_the_run(fault: str, warehouse: Path) -> None:
    make(warehouse, fault)
    with pytest.raises(WinbackError, match="raw gate could not judge loads"):
        judge_raw("loads", warehouse)


@pytest.mark.parametrize(
    "fault", [{"type": "expect_the_best"}, {"kwargs": {"columns": {}, "sorts": 1}}]
)
def test_expectation_that_cannot_be_read_is_a_failure_of_the_run(
    fault: dict[str, object], warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = read_suite("raw", "transactions")
    faulty["expectations"][0] |= fault
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "transactions.json").write_text(json.dumps(faulty))
    monkeypatch.setattr(suites, "EXPECTATIONS_DIR", tmp_path)
    with pytest.raises(WinbackError, match="raw gate could not judge transactions"):
        judge_raw("transactions", warehouse)
