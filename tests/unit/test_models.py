"""The dbt models against DuckDB files of their own.

dbt's unit tests run here, not in production builds. Beside them every label must be reached by
one of them, the rules are compared with a plain reading of them in Python over thousands of
random customers, and an incremental build with a full one.
"""

import csv
import json
import os
import re
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dagster_project.loading import load_table, prepare_raw
from dagster_project.paths import DBT_DIR, SourcePaths
from dagster_project.sources import load_source
from dagster_project.warehouse import connect

MODELS = DBT_DIR / "models"
MARTS = sorted(path.stem for path in (MODELS / "marts").glob("*.sql"))
ONE_DAY = timedelta(days=1)

SOURCE = """
description: A made-up shop
kind: finished
first_day: 2000-01-01
last_day: 2030-12-31
industry: other
currency: EUR
time_zone: Europe/Berlin
margin_rate: 0.3
tables:
  transactions:
    files: "*.csv"
    columns: {customer_id: customer, ordered_at: day, amount: amount}
    inputs: {kind: {column: kind}}
    date_format: "%Y-%m-%d"
    line_type:
      - {type: return, when: kind = 'return'}
      - {type: adjustment, when: kind = 'adjustment'}
      - {type: sale, when: "true"}
    exclude:
      - {reason: not a product, when: kind = 'postage'}
"""


@dataclass(frozen=True)
class Line:
    """A line of the shop's file."""

    customer: str
    day: date
    kind: str
    amount: Decimal

    @property
    def is_used(self) -> bool:
        return self.kind != "postage"


@dataclass(frozen=True)
class World:
    """A shop's settings; its lines follow from the seed."""

    as_of: date
    lost: int
    typical: int
    alarm_gaps: int
    new_days: int
    evergreen: int
    high: str
    middle: str
    seed: int

    @property
    def first_day(self) -> date:
        return self.as_of - timedelta(days=800)

    def variables(self) -> dict[str, Any]:
        return {
            "as_of_date": self.as_of.isoformat(),
            "first_day": self.first_day.isoformat(),
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "lost_threshold_days": self.lost,
            "typical_gap_days": self.typical,
            "alarm_gap_count": self.alarm_gaps,
            "new_customer_days": self.new_days,
            "evergreen_purchase_days": self.evergreen,
            "high_tier_share": self.high,
            "middle_tier_share": self.middle,
        }


def run_dbt(warehouse: Path, *arguments: str, variables: dict[str, Any] | None = None) -> None:
    target = warehouse.parent / "dbt"
    command = [str(Path(sys.executable).with_name("dbt")), *arguments, "--quiet"]
    command += ["--project-dir", str(DBT_DIR), "--profiles-dir", str(DBT_DIR)]
    command += ["--target-path", str(target), "--log-path", str(target)]
    command += ["--vars", json.dumps(variables or {})]
    environment = os.environ | {"WINBACK_WAREHOUSE": str(warehouse)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr


def make_shop(folder: Path) -> SourcePaths:
    paths = SourcePaths(folder, "shop")
    paths.landing.mkdir(parents=True)
    (folder / "sources").mkdir()
    (folder / "sources" / "shop.yml").write_text(SOURCE)
    return paths


def deliver(paths: SourcePaths, name: str, lines: Iterable[Line]) -> None:
    with (paths.landing / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "day", "kind", "amount"])
        writer.writerows((line.customer, line.day, line.kind, line.amount) for line in lines)


def load(paths: SourcePaths, batch: str) -> None:
    with connect(paths) as connection:
        prepare_raw(connection)
        load_table(connection, load_source(paths), paths, "transactions", batch_id=batch)


def rows_of(paths: SourcePaths, query: str) -> list[tuple]:
    with connect(paths, read_only=True) as connection:
        return connection.execute(query).fetchall()


# dbt's own unit tests, and what is written about the models


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    """A source without data: every relation is there, which dbt's unit tests need."""
    paths = SourcePaths(tmp_path_factory.mktemp("empty"), "empty")
    with connect(paths) as connection:
        prepare_raw(connection)
    run_dbt(paths.warehouse, "run", "--empty")
    return paths


def test_unit_tests_pass(empty: SourcePaths) -> None:
    run_dbt(empty.warehouse, "test", "--select", "test_type:unit")


def test_every_column_is_described(empty: SourcePaths) -> None:
    described = set()
    for path in MODELS.rglob("_*__models.yml"):
        for model in yaml.safe_load(path.read_text())["models"]:
            assert model["description"]
            described |= {
                (model["name"], column["name"])
                for column in model["columns"]
                if column["description"]
            }
    columns = rows_of(
        empty,
        "select table_name, column_name from information_schema.columns "
        "where table_schema in ('staging', 'intermediate', 'marts')",
    )
    assert set(columns) == described


@pytest.mark.parametrize("model", sorted(MODELS.rglob("*.sql")), ids=lambda path: path.stem)
def test_models_would_mean_the_same_on_spark(model: Path) -> None:
    sql = re.sub(r"--.*", "", model.read_text())
    unlike = r"::|/|\b(?:exclude|generate_series|asof|current_date)\b|\b(?:avg|concat|now)\("
    assert not re.findall(unlike, sql)
    for order in re.findall(r"order by (.*?)(?=[)\"]|\brows\b|\brange\b|$)", sql, re.DOTALL):
        assert all(item.rstrip().endswith("nulls last") for item in order.split(",")), order


def labels_given_by(sql: str) -> set[str]:
    return set(re.findall(r"\b(?:then|else)\s+'(\w+)'", sql))


def labels_of_models() -> dict[str, set[str]]:
    """Return the labels the cases of each model can give, those of its macros included."""
    macros = {
        name: labels_given_by(path.read_text())
        for path in (DBT_DIR / "macros").glob("*.sql")
        for name in re.findall(r"macro (\w+)\(", path.read_text())
    }
    labels = {}
    for path in MODELS.rglob("*.sql"):
        sql = path.read_text()
        called = [macros[name] for name in macros if re.search(rf"\b{name}\(", sql)]
        labels[path.stem] = labels_given_by(sql).union(*called)
    return {model: found for model, found in labels.items() if found}


def test_every_label_is_reached_by_a_unit_test() -> None:
    expected = defaultdict(set)
    for path in MODELS.rglob("_*__unit_tests.yml"):
        for test in yaml.safe_load(path.read_text())["unit_tests"]:
            for row in test["expect"]["rows"]:
                expected[test["model"]] |= {str(value) for value in row.values()}
    labels = labels_of_models()
    assert labels["customers"] == labels["int_lost_episodes"] == {"high", "middle", "low"}
    assert len(labels["int_customers_staged"]) == 7 + 6
    missing = {model: found - expected[model] for model, found in labels.items()}
    assert not any(missing.values()), missing


# The rules, read plainly


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return month_of(month + timedelta(days=31))


def rounded(value: Fraction, digits: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


class Reference:
    """What the tables should hold, computed customer by customer without any SQL."""

    def __init__(self, world: World, lines: Iterable[Line]) -> None:
        self.world = world
        self.revenue: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        bought = defaultdict(set)
        for line in lines:
            if line.customer and line.day <= world.as_of:
                self.revenue[line.customer][line.day] += line.amount if line.is_used else 0
                if line.kind == "sale":
                    bought[line.customer].add(line.day)
        self.bought = {customer: sorted(days) for customer, days in bought.items()}
        self.months = [month_of(world.first_day)]
        while self.months[-1] < month_of(world.as_of):
            self.months.append(next_month(self.months[-1]))
        self.values = {
            customer: [self.revenue_between(customer, day - 364 * ONE_DAY, day) for day in days]
            for customer, days in self.bought.items()
        }
        self.values_by_month = {month: self._values_at_end(month) for month in self.months}

    def revenue_between(self, customer: str, first: date, last: date) -> Decimal:
        days = self.revenue[customer].items()
        return sum((amount for day, amount in days if first <= day <= last), Decimal(0))

    def _values_at_end(self, month: date) -> list[Decimal]:
        end = min(next_month(month) - ONE_DAY, self.world.as_of)
        latest = [
            values[bisect_right(self.bought[customer], end) - 1]
            for customer, values in self.values.items()
            if self.bought[customer][0] <= end
        ]
        return sorted(latest)

    def tier(self, value: Decimal, month: date) -> str:
        buyers = self.values_by_month[month]
        share = Fraction(len(buyers) - bisect_right(buyers, value), len(buyers))
        if value > 0 and share < Fraction(self.world.high):
            return "high"
        return "middle" if value > 0 and share < Fraction(self.world.middle) else "low"

    def expected_gap(self, customer: str) -> Fraction:
        days = self.bought[customer]
        return Fraction((days[-1] - days[0]).days + 2 * self.world.typical, len(days) - 1 + 2)

    def rule(self, customer: str) -> str:
        world, days = self.world, self.bought.get(customer)
        if not days:
            return "prospect_never_bought"
        hiatus, gap = (world.as_of - days[-1]).days, self.expected_gap(customer)
        third, own = Fraction(world.lost, 3), world.alarm_gaps * gap
        if hiatus > world.lost:
            return "lost_over_threshold"
        if hiatus > min(max(own, third), 2 * third):
            return "alarm_over_own_rhythm" if hiatus > own else "alarm_over_two_thirds"
        if len(days) == 1 and hiatus <= min(world.new_days, third):
            return "new_first_purchase"
        if len(days) >= world.evergreen and gap <= Fraction(world.lost, 2):
            return "evergreen_steady_rhythm"
        return "vulnerable_no_rhythm"

    def customers(self) -> list[tuple]:
        world, rows = self.world, []
        for customer, revenue in self.revenue.items():
            first = last = hiatus = gap = lost_on = tier = None
            rule, days = self.rule(customer), self.bought.get(customer, [])
            trailing = self.revenue_between(customer, world.as_of - 364 * ONE_DAY, world.as_of)
            value = Decimal(0)
            if days:
                first, last, value = days[0], days[-1], self.values[customer][-1]
                hiatus, gap = (world.as_of - last).days, rounded(self.expected_gap(customer), 2)
                tier = self.tier(value, month_of(world.as_of))
            if rule.startswith("lost"):
                lost_on = last + (world.lost + 1) * ONE_DAY
            dates = min(revenue), first, last, len(days), hiatus, gap
            money = sum(revenue.values()), trailing, value, "EUR"
            stage = rule.split("_")[0], rule, world.lost, lost_on, tier
            rows.append((customer, *dates, *money, *stage))
        return rows

    def active(self) -> dict[date, set[str]]:
        active = defaultdict(set)
        for customer, days in self.bought.items():
            for day in days:
                active[month_of(day)].add(customer)
        return active

    def is_over(self, month: date) -> bool:
        return next_month(month) - ONE_DAY <= self.world.as_of

    def lifecycle_flow(self) -> list[tuple]:
        active, before, ever, rows = self.active(), set(), set(), []
        for month in self.months:
            now = active[month]
            returning, new = now & before, now - ever
            counts = len(now), len(new), len(returning), len(now - new - returning)
            is_complete = self.is_over(month) and month >= self.world.first_day
            rows.append((month, *counts, len(before - now), is_complete))
            before, ever = now, ever | now
        return rows

    def cohort_retention(self) -> list[tuple]:
        active, rows = self.active(), []
        revenue = defaultdict(Decimal)
        cohorts = defaultdict(set)
        for customer, days in self.bought.items():
            cohorts[month_of(days[0])].add(customer)
            for day, amount in self.revenue[customer].items():
                revenue[month_of(days[0]), month_of(day)] += amount
        for acquired, cohort in cohorts.items():
            for since, month in enumerate(month for month in self.months if month >= acquired):
                retained = len(cohort & active[month])
                rate = rounded(Fraction(retained, len(cohort)), 6)
                money = revenue[acquired, month], "EUR"
                row = (acquired, since, len(cohort), retained, rate, *money, self.is_over(month))
                rows.append(row)
        return rows

    def lost_episodes(self) -> list[tuple]:
        rows = []
        for customer, days in self.bought.items():
            for (day, after), value in zip(
                pairwise([*days, None]), self.values[customer], strict=True
            ):
                if ((after or self.world.as_of) - day).days > self.world.lost:
                    lost_on = day + (self.world.lost + 1) * ONE_DAY
                    tier = self.tier(value, month_of(lost_on))
                    rows.append((customer, lost_on, after, value, tier))
        return rows

    def lost_customers_by_month(self) -> list[tuple]:
        episodes, rows = self.lost_episodes(), []
        first = min(month_of(lost_on) for _, lost_on, *_ in episodes)
        for month in (month for month in self.months if month >= first):
            for tier in ("high", "middle", "low"):
                found = [row for row in episodes if month_of(row[1]) == month and row[4] == tier]
                value = sum((row[3] for row in found), Decimal(0))
                recovered = sum(row[2] is not None for row in found)
                rows.append((month, tier, len(found), value, recovered, "EUR"))
        return rows

    def winback_candidates(self) -> list[tuple]:
        """Return rank and customer_id."""
        tiers = ("high", "middle", "low")
        order = sorted(
            (tiers.index(tier), -value, hiatus, customer)
            for customer, *_, hiatus, _, _, _, value, _, stage, _, _, _, tier in self.customers()
            if stage in ("lost", "alarm") and value > 0
        )
        return [(rank, customer) for rank, (*_, customer) in enumerate(order, 1)]


def random_lines(world: World, customer_count: int) -> list[Line]:
    """Return histories that crowd the boundaries of the rules."""
    random, lost = Random(world.seed), world.lost
    edges = [
        *(1, 2, 7, lost // 3, lost // 3 + 1, lost // 2, lost // 2 + 1, world.new_days),
        *(world.new_days + 1, 2 * lost // 3, 2 * lost // 3 + 1, lost, lost + 1, lost + 2),
        *(world.typical, 363, 364, 365, 366),
    ]
    amounts = [Decimal(text) for text in ("0.00", "0.01", "1.00", "2.50", "2.50", "10.00")]

    def gap() -> int:
        return random.choice(edges) if random.random() < 0.7 else random.randint(1, 2 * lost)

    lines = []
    for number in range(customer_count):
        customer = f"c{number}"
        # Below zero: bought after the as-of date.
        silence = random.choice([-1, 0, gap(), gap(), random.randint(0, lost)])
        day, rhythm = world.as_of - silence * ONE_DAY, random.choice([None, None, gap()])
        if rhythm and random.random() < 0.4:
            # Exactly so many rhythms, or a day more or less.
            silence = world.alarm_gaps * rhythm + random.choice([-1, 0, 1])
            day = world.as_of - silence * ONE_DAY
        for _ in range(random.choice([0, 1, 1, 1, 2, 3, 3, 4, 6, 10])):
            if day < world.first_day:
                break
            amount = random.choice([*amounts, Decimal(random.randint(0, 99999)) / 100])
            lines += [Line(customer, day, "sale", amount)] * random.choice([1, 1, 1, 2])
            day -= (rhythm + random.choice([0, 0, 0, 1]) if rhythm else gap()) * ONE_DAY
        for kind in ("return", "postage", "adjustment"):
            if random.random() < 0.2:
                day = world.as_of - random.randint(-3, 500) * ONE_DAY
                lines.append(Line(customer, day, kind, -random.choice(amounts)))
    lines += [Line("", world.as_of - n * ONE_DAY, "sale", Decimal(1)) for n in range(-2, 40)]
    return lines


def differences(actual: list[tuple], expected: list[tuple]) -> tuple[list, list]:
    """Return up to three rows that only one side has."""
    assert len(actual) == len(set(actual)), "a row occurs twice"
    only_actual, only_expected = set(actual) - set(expected), set(expected) - set(actual)
    return sorted(only_actual, key=str)[:3], sorted(only_expected, key=str)[:3]


@settings(
    max_examples=2,
    # One build takes seconds: few shops, always the same ones, and no search for a smaller one.
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    world=st.builds(
        World,
        as_of=st.sampled_from(
            [date(2024, 2, 29), date(2025, 1, 1), date(2024, 12, 31), date(2025, 6, 15)]
        ),
        lost=st.sampled_from([90, 100, 31, 183]),
        typical=st.sampled_from([30, 10, 17]),
        alarm_gaps=st.sampled_from([3, 2]),
        new_days=st.sampled_from([30, 12]),
        evergreen=st.sampled_from([3, 2]),
        high=st.sampled_from(["0.20", "0.1", "0.33"]),
        middle=st.sampled_from(["0.50", "0.75"]),
        seed=st.integers(0, 10**9),
    )
)
def test_models_follow_the_rules(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    paths = make_shop(tmp_path_factory.mktemp("shop"))
    lines = random_lines(world, 3000)
    deliver(paths, "lines.csv", lines)
    load(paths, "1")
    only_data_tests = "--exclude-resource-type", "unit_test"
    run_dbt(paths.warehouse, "build", *only_data_tests, variables=world.variables())
    reference = Reference(world, lines)
    rules = {reference.rule(customer) for customer in reference.revenue}
    assert len(rules) == 7, "the shop is too simple"
    for table in ("customers", "lifecycle_flow", "cohort_retention", "lost_customers_by_month"):
        actual = rows_of(paths, f"select * from marts.{table}")
        assert differences(actual, getattr(reference, table)()) == ([], []), table
    actual = rows_of(paths, "select * from intermediate.int_lost_episodes")
    assert differences(actual, reference.lost_episodes()) == ([], [])
    actual = rows_of(paths, "select rank, customer_id from marts.winback_candidates order by rank")
    assert actual == reference.winback_candidates()


# Incremental builds


def test_incremental_equals_full(tmp_path: Path) -> None:
    world = World(date(2024, 12, 31), 90, 30, 3, 30, 3, "0.20", "0.50", seed=1)
    paths = make_shop(tmp_path)
    days = [date(2024, 12, number) for number in range(1, 11)]

    def line(customer: str, day: int, kind: str = "sale", amount: str = "5.00") -> Line:
        return Line(customer, days[day], kind, Decimal(amount))

    deliver(paths, "history.csv", random_lines(world, 50))
    deliver(paths, "untouched.csv", [line("a", 0), line("b", 0)])
    deliver(paths, "gone.csv", [line("a", 9)])
    deliver(
        paths,
        "changed.csv",
        [
            *[line(customer, day) for customer in ("a", "b") for day in (1, 2, 3)],
            line("a", 4),
            line("b", 5),
        ],
    )
    load(paths, "1")
    run_dbt(paths.warehouse, "run", variables=world.variables())
    before = rows_of(paths, "select * from intermediate.int_customer_days")

    deliver(
        paths,
        "changed.csv",
        [
            # A line more.
            *[line(customer, 1) for customer in ("a", "b", "c")],
            # One less.
            line("a", 2),
            # Another kind, another amount.
            line("a", 3, "return", "-5.00"),
            line("b", 3, amount="6.00"),
            # A day without customers, an empty day, and new ones after and long before.
            line("", 4),
            line("a", 6),
            Line("d", date(2022, 12, 1), "sale", Decimal(1)),
        ],
    )
    (paths.landing / "gone.csv").unlink()
    deliver(paths, "more.csv", [line("e", 0), line("a", 9)])
    load(paths, "2")
    run_dbt(paths.warehouse, "run", variables=world.variables())
    tables = ["intermediate.int_customer_days", *(f"marts.{table}" for table in MARTS)]
    incremental = {table: rows_of(paths, f"from {table} order by all") for table in tables}
    run_dbt(paths.warehouse, "run", "--full-refresh", variables=world.variables())
    for table in tables:
        assert rows_of(paths, f"from {table} order by all") == incremental[table], table

    days_now = {(row[0], row[1]): row for row in incremental["intermediate.int_customer_days"]}
    removed = {row[:2] for row in before} - set(days_now)
    assert removed == {("b", days[2]), ("a", days[4]), ("b", days[5])}
    assert days_now["a", days[3]][2:4] == (0, Decimal("-5.00"))
    assert days_now["a", days[9]][2:4] == (2, Decimal("10.00"))
