"""The raw gate on what was loaded: broken lines, files and days that came twice."""

import random
from decimal import Decimal
from pathlib import Path

import pytest
from support.gate_shop import failed_gate, gate_shop
from support.raw_shop import HEADER, day, lines


@pytest.mark.parametrize(("broken", "is_passed"), [(50, False), (5, True), (10, True), (11, False)])
def test_share_of_broken_lines(broken: int, is_passed: bool, tmp_path: Path) -> None:
    """Of 1,000 lines: 1% pass, more block, and every broken line is told."""
    chance = random.Random(broken)
    numbers = sorted(chance.sample(range(1_000), broken))
    rows, expected = [], []
    for number in range(1_000):
        row = f"c{number},2024-01-02,{number}.25"
        if number in numbers:
            row, reason = chance.choice([
                (f"c{number},2024-01-02", "too few fields"),
                (f"c{number},2024-02-30,1", "ordered_at is not a date or time"),
                (f"c{number},2024-01-02,x", "amount is not a number"),
                (f"c{number},2024-01-02,", "amount is missing"),
                (f"c{number},2024-01-02,1,2", "too many fields"),
            ])  # fmt: skip
            expected.append(("f.csv", number + 2, reason, row))
        rows.append(row)
    with gate_shop(tmp_path) as shop:
        shop.put("f.csv", lines(*rows))
        report = shop.load()
        assert report.rejected_count == broken
        assert shop.rejected() == expected
        assert shop.load_counts() == [("f.csv", 1_000, 1_000 - broken, broken)]
        assert shop.rows("select distinct file_hash from raw.rejected_rows") == shop.rows(
            "select file_hash from raw.loads"
        )
        total = sum(Decimal(f"{n}.25") for n in range(1_000) if n not in numbers)
        assert shop.rows("select sum(amount) from raw.transactions") == [(total,)]
        outcomes = failed_gate(shop, "loads")
    assert list(outcomes) == ([] if is_passed else ["rejected_share_within_limit"])
    if not is_passed:
        line, reason = expected[0][1:3]
        observed = outcomes["rejected_share_within_limit"].observed_value
        assert observed.startswith(f"{broken / 10:.2f}% of f.csv ({broken} of 1000 lines)")
        assert f"line {line}: {reason}" in observed


NOBODY = """\
    exclude:
      - {reason: cancelled, when: amount > 1}
      - {reason: gift, when: amount <= 1}
"""


@pytest.mark.parametrize(
    ("table", "customer", "observed"),
    [
        (NOBODY, "a", "3 lines loaded, 0 count, 0 of them name a customer; excluded: cancelled 2,"
                      " gift 1"),
        ("", "", "3 lines loaded, 3 count, 0 of them name a customer"),
        ("", "guest", "3 lines loaded, 3 count, 0 of them name a customer"),
    ],
)  # fmt: skip
def test_nobody_buys(table: str, customer: str, observed: str, tmp_path: Path) -> None:
    limits = "limits: {{maximum_customerless_share: 1.0, allow_no_customers: {}}}\n"
    with gate_shop(tmp_path, table=table, more=limits.format("false")) as shop:
        shop.put("f.csv", lines(*(f"{customer},2024-01-02,{amount}" for amount in (1, 2, 3))))
        shop.load()
        outcomes = failed_gate(shop, "load_days")
        assert list(outcomes) == ["some_customer_buys"]
        assert outcomes["some_customer_buys"].observed_value == observed
        shop.configure(table=table, more=limits.format("true"))
        assert failed_gate(shop, "load_days") == {}
        # One line with a customer will do.
        shop.configure(table=table, more=limits.format("false"))
        shop.put("g.csv", lines("b,2024-01-03,1"))
        shop.load()
        assert list(failed_gate(shop, "load_days")) == (["some_customer_buys"] if table else [])


def test_no_file_twice(tmp_path: Path) -> None:
    tables = "  customers: {files: '*.txt', format: csv, columns: {customer_id: customer}}\n"
    with gate_shop(tmp_path, files="*.csv", tables=tables) as shop:
        content = lines("a,2024-01-02,1", "b,2024-01-03,1")
        for name in ("empty1.csv", "empty2.csv"):
            shop.put(name, HEADER)
        # The same file may serve two tables.
        shop.put("a.txt", content)
        shop.put("a.csv", content)
        shop.load()
        shop.load("customers")
        assert failed_gate(shop, "loads") == {}
        shop.put("copy.csv", content)
        shop.load()
        outcomes = failed_gate(shop, "loads")
        assert list(outcomes) == ["no_file_twice"]
        assert outcomes["no_file_twice"].observed_value == "1 of 2 files are copies"
        assert outcomes["no_file_twice"].example_ids == ("a.csv = copy.csv",)
        (shop.paths.landing / "a.csv").unlink()
        shop.load()
        assert failed_gate(shop, "loads") == {}
        assert shop.values("customer_id") == ["a", "b"]


@pytest.mark.parametrize(("present", "is_passed"), [(1, True), (2, False), (10, False)])
def test_no_day_delivered_twice(present: int, is_passed: bool, tmp_path: Path) -> None:
    with gate_shop(tmp_path) as shop:
        shop.put("old.csv", lines(*["a,2024-01-02,1"] * 10, "a,2024-01-03,1"))
        shop.load()
        (shop.paths.landing / "old.csv").unlink()
        shop.put("new.csv", lines(*["a,2024-01-02,2"] * present, "a,2024-01-04,1"))
        shop.load()
        outcomes = failed_gate(shop, "load_days")
        assert list(outcomes) == ([] if is_passed else ["no_day_delivered_twice"])
        if not is_passed:
            outcome = outcomes["no_day_delivered_twice"]
            assert outcome.observed_value == (
                f"2024-01-02: 10 lines of gone files, {present} of present ones"
            )
            assert outcome.example_ids == ("2024-01-02",)
            assert "--full-refresh" in outcome.remedy
        shop.load(full_refresh=True)
        assert failed_gate(shop, "load_days") == {}
        assert shop.rows("select ordered_on, count(*) from raw.transactions group by all "
                         "order by all") == [
            (day(2), present), (day(3), 1), (day(4), 1),
        ]  # fmt: skip
