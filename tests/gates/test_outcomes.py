"""Outcomes and verdicts: what blocks, in words for a person."""

import json
from dataclasses import replace
from pathlib import Path

from support.gate_cases import failed, judge_raw, make

from dagster_project.gates.outcomes import TableVerdict, blocked_message, without_values


def test_only_critical_failures_block(warehouse: Path) -> None:
    make(warehouse, "update raw.loads set is_present = false")
    verdict = judge_raw("loads", warehouse)
    assert verdict.is_passed
    assert blocked_message(verdict.outcomes) == ""

    make(warehouse, "update raw.loads set rejected_share = .05, rejected_count = 50")
    verdict = judge_raw("loads", warehouse)
    assert not verdict.is_passed
    message = blocked_message(verdict.outcomes)
    assert message.splitlines()[0] == "raw gate, loads: rejected_share_within_limit failed"
    for part in ("5.00% of orders.csv", "line 12", "at most 1.00%", "1 of 1", "raw.rejected_rows"):
        assert part in message
    assert "files_still_present" not in message


def test_a_message_that_leaves_the_house_quotes_nothing_of_the_data(warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set line_type = 'gift'")
    (outcome,) = failed(judge_raw("transactions", warehouse)).values()
    message = blocked_message([outcome])
    assert "orders.csv:1" in message
    assert without_values(message).splitlines() == [
        f"raw gate, transactions: {outcome.expectation} failed",
        f"  expected:   {outcome.description}",
        "  unexpected: 7 of 7",
        f"  remedy:     {outcome.remedy}",
    ]
    quoted = replace(outcome, observed_value="x\n13912345678 of Ms Li", example_ids=("C1\nC2",))
    assert without_values(blocked_message([quoted])) == without_values(message)


def test_at_most_five_examples_are_kept(warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set line_type = 'gift'")
    (outcome,) = failed(judge_raw("transactions", warehouse)).values()
    assert outcome.unexpected_count == outcome.evaluated_count == 7
    assert outcome.example_ids == tuple(f"orders.csv:{row}" for row in range(1, 6))


def test_stored_verdict_is_judged_again(warehouse: Path) -> None:
    for sql, is_passed in (
        ("update raw.loads set is_present = false", True),
        ("update raw.loads set rejected_share = .05, rejected_count = 50", False),
    ):
        make(warehouse, sql)
        verdict = judge_raw("loads", warehouse)
        stored = json.loads(json.dumps(verdict.result))
        again = TableVerdict.read("raw", "loads", stored)
        assert again.outcomes == verdict.outcomes
        assert again.is_passed == verdict.is_passed == is_passed


def test_what_is_wrong_with_an_empty_table_is_not_one_of_none(warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set line_type = 'gift'")
    (outcome,) = failed(judge_raw("transactions", warehouse)).values()
    told = blocked_message([replace(outcome, evaluated_count=0, unexpected_count=1)])
    assert "  unexpected: 1, for example orders.csv:1" in told
    assert "  unexpected: 1" in without_values(told).splitlines()
