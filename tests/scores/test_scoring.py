"""Whole warehouses of made-up buyers, scored: who is in, what adds up, what degenerates."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from support.made_up import AS_OF, Customer, drawn, write_warehouse

from dagster_project.scores import backtests, score_tables, scoring
from dagster_project.scores.customer_base.histories import Limits
from dagster_project.scores.rules import HIATUS_RULE
from dagster_project.scores.score_choice import Choice


def score(
    file: Path, customers: Sequence[Customer], limits: Limits | None = None, as_of: date = AS_OF
) -> tuple[dict[str, Choice], dict[str, list[dict]]]:
    """Return the choices and the rows of every table of scores."""
    write_warehouse(file, customers, as_of)
    with duckdb.connect(str(file)) as connection:
        settings = scoring.Settings(as_of, limits or Limits(), 0.10)
        choices = scoring.write_scores(connection, settings)
        tables = {}
        for table in score_tables.TABLES:
            cursor = connection.execute(f"select * from scores.{table} order by all")
            names = [column[0] for column in cursor.description]
            tables[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return choices, tables


@pytest.fixture(scope="module")
def base() -> list[Customer]:
    return list(drawn(800, seed=5))


@pytest.fixture(scope="module")
def scored(
    base: list[Customer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Choice], dict[str, list[dict]]]:
    return score(tmp_path_factory.mktemp("scored") / "warehouse.duckdb", base)


def test_every_buyer_is_scored_and_what_is_published_is_complete(scored, base) -> None:
    choices, tables = scored
    assert all(choice.published for choice in choices.values()), choices
    rows = tables["customer_scores"]
    assert [row["customer_id"] for row in rows] == [customer.customer_id for customer in base]
    for row in rows:
        assert row["note"] is None
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        # A wait of more than ten years is no date; everything else is there for everybody.
        assert len(numbers) >= 9
        assert all(math.isfinite(value) for value in numbers.values())
        assert row["expected_purchase_days_30d"] <= row["expected_purchase_days_90d"]
        assert row["expected_purchase_days_90d"] <= row["expected_purchase_days_365d"]
        assert row["clv_365d_low"] <= row["clv_365d_high"]


def test_lifetime_value_is_purchases_by_value_by_margin_discounted(scored) -> None:
    # Within a quarter the exact discount hardly differs from that of its middle.
    for row in scored[1]["customer_scores"]:
        undiscounted = row["expected_purchase_days_365d"] * row["expected_order_value"] / 4
        assert undiscounted * 1.1**-1 <= row["clv_365d"] <= undiscounted * 1.1**-0.12


def test_a_cancelled_order_is_worth_nothing_and_not_less(base, tmp_path: Path) -> None:
    days = [AS_OF - timedelta(days=ago) for ago in (90, 60)]
    amounts = {"C900000": -500.0, "C900001": 0.0, "C900002": 500.0}
    cancelled = [
        Customer(name, tuple(zip(days, (10.0, amount), strict=True)))
        for name, amount in amounts.items()
    ]
    _, tables = score(tmp_path / "warehouse.duckdb", [*base, *cancelled])
    found = {row["customer_id"]: row["expected_order_value"] for row in tables["customer_scores"]}
    assert 0 < found["C900000"] == found["C900001"] < found["C900002"]


def test_totals_of_groups_are_sums_of_their_customers(scored, base) -> None:
    tables = scored[1]
    value = {row["customer_id"]: row["clv_365d"] for row in tables["customer_scores"]}
    totals = {(row["segment"], row["segment_value"]): row for row in tables["value_forecasts"]}
    assert totals["all", "all"]["customer_count"] == len(base)
    assert totals["all", "all"]["clv_365d"] == pytest.approx(sum(value.values()))
    high = [value[customer.customer_id] for customer in base[::2]]
    assert totals["value_tier", "high"]["customer_count"] == len(high)
    assert totals["value_tier", "high"]["clv_365d"] == pytest.approx(sum(high))
    # Not everybody is unlucky at once: the interval of all is narrower than the summed ones.
    summed = sum(row["clv_365d_high"] - row["clv_365d_low"] for row in tables["customer_scores"])
    everybody = totals["all", "all"]
    width = everybody["clv_365d_high"] - everybody["clv_365d_low"]
    assert 0 < width < summed / 3


def test_order_of_rows_and_number_of_workers_change_nothing(
    scored, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "WORKERS", 1)
    monkeypatch.setattr(backtests, "WORKERS", 1)
    order = np.random.default_rng(1).permutation(len(base))
    shuffled = [base[place] for place in order]
    tier = {customer.customer_id: number % 2 for number, customer in enumerate(base)}
    # The made-up tier goes by position, so the two halves keep theirs.
    halves = [[c for c in shuffled if tier[c.customer_id] == side] for side in (0, 1)]
    alternating = [customer for pair in zip(*halves, strict=True) for customer in pair]
    _, tables = score(tmp_path / "warehouse.duckdb", alternating)
    assert tables == scored[1]


def test_batches_hold_everybody_once_whatever_their_size(
    scored, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_tables, "BATCH_ROWS", 300)
    _, tables = score(tmp_path / "warehouse.duckdb", base)
    exact = [name for name in scored[1]["customer_scores"][0] if not name.endswith(("low", "high"))]
    for one, other in zip(tables["customer_scores"], scored[1]["customer_scores"], strict=True):
        assert [one[name] for name in exact] == [other[name] for name in exact]


def once(customer_id: str, days_ago: int, amount: float = 10.0) -> Customer:
    return Customer(customer_id, ((AS_OF - timedelta(days=days_ago), amount),))


DEGENERATE = {
    "nobody": ([], None),
    "one customer": ([once("C0", 300)], None),
    "all buy once": ([once(f"C{n}", n % 400) for n in range(900)], None),
    "all buy once, no limit": (
        [once(f"C{n}", n % 400) for n in range(900)],
        Limits(buyers=1, days=1, repeat_buyers=0),
    ),
    "two days": ([once(f"C{n}", n % 2) for n in range(900)], None),
    "all amounts zero": (
        [replace(c, purchases=tuple((d, 0.0) for d, _ in c.purchases)) for c in drawn(900, 9)],
        None,
    ),
    "one enormous buyer": (
        [
            *drawn(900, 9),
            Customer(
                "C999999",
                tuple((AS_OF - timedelta(days=n), 1e9) for n in range(719, -1, -1)),
            ),
        ],
        None,
    ),
    "one customer, no limit": ([once("C0", 300)], Limits(buyers=1, days=1, repeat_buyers=0)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_get_a_reason_and_no_number_that_is_none(name: str, tmp_path: Path) -> None:
    customers, limits = DEGENERATE[name]
    choices, tables = score(tmp_path / "warehouse.duckdb", customers, limits)
    for rows in tables.values():
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers), row
    assert all(choice.reason for choice in choices.values())
    assert len(tables["customer_scores"]) == len(customers)
    for row in tables["customer_scores"]:
        if row["clv_365d"] is None:
            assert row["note"]
    if "limit" not in name and name not in ("all amounts zero", "one enormous buyer"):
        assert all(choice.published is None for choice in choices.values())
        assert all("too" in row["note"] for row in tables["customer_scores"])
    if name == "all amounts zero":
        assert choices["expected_order_value"].published is None
        assert choices["expected_order_value"].reason == "no repeat purchase has a value"
        assert choices["expected_purchase_days"].published


def test_the_note_names_what_is_missing_and_what_the_plain_rule_leaves_out() -> None:
    model, rule, nothing = (
        Choice("mbg_nbd", published, "why") for published in ("mbg_nbd", HIATUS_RULE, None)
    )
    assert (
        scoring._note({"expected_purchase_days": model, "repurchase_probability_90d": rule}) is None
    )
    note = scoring._note({"expected_purchase_days": rule, "probability_alive": nothing})
    assert note.startswith("no probability_alive: why; no clv_365d")
