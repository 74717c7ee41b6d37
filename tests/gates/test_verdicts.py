"""Verdicts: recorded with their results, judged again when they are read again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.errors import GateBlockedError, WinbackError
from dagster_project.gates import verdicts
from dagster_project.gates.outcomes import TableVerdict
from dagster_project.gates.verdicts import GateResult, read_raw_verdicts, record, record_verdict
from dagster_project.paths import SourcePaths

PASSED = GateResult("customers", "customer_id_is_unique", "critical", True, "0", "0", 3, 0)


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    paths = SourcePaths(tmp_path, "shop")
    paths.warehouse_dir.mkdir(parents=True)
    duckdb.connect(str(paths.warehouse)).close()
    return paths


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Path]]:
    """Return what pages were asked for: gates and tables of the verdicts, and the folder."""
    built: list[tuple[list[str], Path]] = []
    monkeypatch.setattr(
        verdicts,
        "build_data_docs",
        lambda found, folder: built.append(
            ([f"{one.gate} {one.table_name}" for one in found], folder)
        ),
    )
    return built


def stored_result(severity: str = "critical", *, success: bool = True) -> dict[str, Any]:
    """Return what GX stores of a suite with one expectation."""
    return {
        "results": [
            {
                "success": success,
                "exception_info": {"raised_exception": False},
                "expectation_config": {
                    "severity": severity,
                    "description": "Amounts are within limits.",
                    "meta": {"id": "amount_within_limits", "remedy": "Correct the file."},
                },
                "result": {"element_count": 9, "unexpected_count": 0 if success else 2},
            }
        ]
    }


def judged(gate: str, table: str, result: dict[str, Any]) -> TableVerdict:
    return TableVerdict.read(gate, table, result)


def record_raw(paths: SourcePaths, result: dict[str, Any], subject: str = "release-1") -> None:
    found = [judged("raw", "transactions", result)]
    record(paths, "raw", found, subject=subject, raw="raw-1", run_id="run-1")


def record_release(paths: SourcePaths, result: dict[str, Any], raw: str = "raw-1") -> None:
    found = [judged("release", "customers", result)]
    record(paths, "release", found, subject="release-1", raw=raw, run_id="run-1", file_hash="hash")


def latest(paths: SourcePaths, gate: verdicts.Gate, subject: str) -> bool | None:
    with duckdb.connect() as con:
        con.execute(f"attach '{paths.warehouse}' as warehouse (read_only)")
        verdict = verdicts.latest_verdict(con, gate, subject)
        return verdict.is_passed if verdict else None


def test_a_gate_without_expectations_is_no_verdict(paths):
    with pytest.raises(WinbackError, match="evaluated no expectation"):
        record_verdict(
            paths, gate="raw", subject="a", input_fingerprint="a", results=(), run_id="run-1"
        )
    with pytest.raises(ValueError, match="hash"):
        record_verdict(
            paths,
            gate="release",
            subject="2024-01-31-0123456789",
            input_fingerprint="a",
            results=(PASSED,),
            run_id="run-1",
        )
    assert latest(paths, "raw", "a") is None


@pytest.mark.parametrize(
    ("severity", "success", "is_passed"),
    [
        ("critical", True, True),
        ("critical", False, False),
        ("warning", True, True),
        ("warning", False, True),
    ],
)
def test_a_raw_verdict_is_judged_again_when_it_is_read_again(
    paths, docs, severity, success, is_passed
):
    recorded = judged("raw", "transactions", stored_result(severity, success=success))
    record_raw(paths, recorded.result)
    (read,) = read_raw_verdicts(paths, "release-1")
    assert read == recorded
    assert read.is_passed is is_passed
    assert [outcome.is_passed for outcome in read.outcomes] == [success]
    assert latest(paths, "raw", "release-1") is is_passed


def test_the_docs_of_a_passing_release_show_both_gates(paths, docs):
    record_raw(paths, stored_result())
    assert docs == []
    record_release(paths, stored_result())
    assert docs == [(["raw transactions", "release customers"], paths.candidate / "data_docs")]


@pytest.mark.parametrize("gate", ["raw", "release"])
def test_a_blocked_gate_leaves_its_verdict_and_docs(paths, docs, gate):
    failing = stored_result(success=False)
    if gate == "raw":
        record_raw(paths, failing)
    else:
        record_raw(paths, stored_result())
        record_release(paths, failing)
    folder = paths.blocked / "run-1"
    assert json.loads((folder / "verdict.json").read_text()) == [failing]
    assert [folder for _, folder in docs] == [folder / "data_docs"]


def test_a_candidate_from_refused_raw_data_gets_no_passing_docs(paths, docs):
    record_raw(paths, stored_result())
    record_raw(paths, stored_result(success=False))
    docs.clear()
    with pytest.raises(GateBlockedError, match="raw gate, transactions: amount_within_limits"):
        record_release(paths, stored_result())
    assert docs == []


def unlink(file: Path) -> None:
    file.unlink()


def write(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda file: file.write_text(json.dumps(change(json.loads(file.read_text()))))


def without_outcomes(stored: dict[str, Any]) -> dict[str, Any]:
    stored["verdicts"][0]["result"]["results"] = []
    return stored


def without_results(stored: dict[str, Any]) -> dict[str, Any]:
    del stored["verdicts"][0]["result"]["results"]
    return stored


def with_words(stored: dict[str, Any]) -> dict[str, Any]:
    stored["verdicts"][0]["result"]["results"][0]["result"] = "nine"
    return stored


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unlink, "cannot be read"),
        (lambda file: file.write_text('{"subject": "release-1", "verd'), "cannot be read"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "cannot be read"),
        (write(lambda stored: stored["verdicts"]), "cannot be read"),
        (write(without_results), "cannot be read"),
        (write(with_words), "cannot be read"),
        (write(without_outcomes), "lack their outcomes"),
        (write(lambda stored: stored | {"verdicts": []}), "lack their outcomes"),
        (
            write(lambda stored: stored | {"subject": "release-0"}),
            "on other data or days",
        ),
    ],
)
def test_raw_verdicts_that_cannot_be_judged_again_say_to_run_again(paths, docs, spoil, message):
    record_raw(paths, stored_result())
    spoil(paths.warehouse_dir / "raw_gate.json")
    with pytest.raises(WinbackError, match=f"{message}.*run again"):
        record_release(paths, stored_result())
    assert docs == []


def test_a_stored_expectation_that_raised_is_no_verdict(paths, docs):
    record_raw(paths, stored_result())

    def raised(stored: dict[str, Any]) -> dict[str, Any]:
        stored["verdicts"][0]["result"]["results"][0]["exception_info"] = {
            "raised_exception": True,
            "exception_message": "no such column",
        }
        return stored

    write(raised)(paths.warehouse_dir / "raw_gate.json")
    with pytest.raises(WinbackError, match="raised an error: no such column"):
        read_raw_verdicts(paths, "release-1")
