"""The dbt models against DuckDB files of their own.

dbt's unit tests run here, not in production builds. Beside them every label must be reached by
one of them, every table is compared with a plain reading of its rules in Python over hundreds of
random customers, the history of random events is checked for gaps, and an incremental build
with a full one.
"""

import csv
import json
import re
import shutil
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise, product
from math import floor
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from jinja2 import Template
from support.shop import run_dbt

from dagster_project.config.sources import load_source
from dagster_project.loading.loader import load_table, prepare_raw
from dagster_project.paths import DBT_DIR, SourcePaths
from dagster_project.scores import scoring
from dagster_project.warehouse import connect

MODELS = DBT_DIR / "models"
SEEDS = DBT_DIR / "seeds"
MARTS = sorted(path.stem for path in (MODELS / "marts").rglob("*.sql"))
ONE_DAY = timedelta(days=1)
YEAR = 365 * ONE_DAY
NO_VALUE = Decimal(0)
AXES = ("lifecycle_stage", "loyalty_stage", "contact_class")

SOURCE = """
description: A made-up shop
kind: finished
first_day: 2000-01-01
last_day: 2030-12-31
currency: EUR
time_zone: Europe/Berlin
margin_rate: 0.3
churn_definition: {churn_definition}
value_tiers: {value_tiers}
settings: {settings}
tables:
  transactions:
    files: "*.csv"
    columns:
      customer_id: customer
      ordered_at: day
      amount: amount
      quantity: quantity
      transaction_id: order
      discount_amount: discount
      cost_amount: cost
    inputs: {{kind: {{column: kind}}}}
    date_format: "%Y-%m-%d"
    line_type:
      - {{type: return, when: kind = 'return'}}
      - {{type: adjustment, when: kind = 'adjustment'}}
      - {{type: sale, when: "true"}}
    exclude:
      - {{reason: not a product, when: kind = 'postage'}}
  customers:
    files: crm/members.csv
    date_format: "%Y-%m-%d"
    columns:
      customer_id: customer
      signed_up_at: joined
      acquisition_source: came_by
      region: region
  interactions:
    files: crm/interactions.csv
    date_format: "%Y-%m-%d"
    columns:
      customer_id: customer
      occurred_at: day
      interaction_type: kind
      direction: direction
"""


@dataclass(frozen=True)
class Line:
    """A line of the shop's file."""

    customer: str
    day: date
    kind: str
    amount: Decimal
    quantity: int | None = None
    order: str | None = None
    discount: Decimal | None = None
    cost: Decimal | None = None

    @property
    def margin(self) -> Fraction:
        if not self.is_used:
            return Fraction(0)
        if self.cost is None:
            return Fraction(self.amount) * Fraction(3, 10)
        return Fraction(self.amount - self.cost)

    @property
    def is_used(self) -> bool:
        return self.kind != "postage"


@dataclass(frozen=True)
class Member:
    """A record of a customer."""

    customer: str
    joined: date | None
    came_by: str | None
    region: str | None


@dataclass(frozen=True)
class Contact:
    """An interaction."""

    customer: str
    day: date
    kind: str
    direction: str = "inbound"

    @property
    def is_by_customer(self) -> bool:
        if self.kind == "call":
            return self.direction == "inbound"
        return self.kind in ("visit", "referral", "complaint")


@dataclass(frozen=True)
class Events:
    """Everything the shop knows."""

    lines: list[Line]
    members: list[Member] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)


@dataclass(frozen=True)
class Definition:
    """When a silence is a loss; the yardsticks of the back-test included."""

    method: str
    lost: int = 90
    multiple: str = "3.00"
    seasons: tuple[str, ...] = ()
    valid_from: date = date.min

    def declared(self, basis: str) -> dict[str, Any]:
        """Return it as it stands in a source's file."""
        entry: dict[str, Any] = {"method": self.method, "basis": basis, "lost_days": self.lost}
        if self.method == "cadence":
            entry["gap_multiple"] = float(self.multiple)
        if self.method == "season":
            entry["seasons"] = list(self.seasons)
        if self.valid_from > date.min:
            entry["valid_from"] = self.valid_from.isoformat()
        return entry

    def lost_on(self, started_on: date, gap: Fraction) -> date | None:
        """Return the first day as a lost customer, if the silence lasts so long."""
        if self.method == "season":
            return self._season_after(started_on) + ONE_DAY
        if self.method == "nobody_lost":
            return None
        allowed = Fraction(self.lost)
        if self.method == "cadence":
            own = Fraction(self.multiple) * gap
            allowed = min(max(own, Fraction(self.lost, 3)), Fraction(2 * self.lost))
        if self.method == "everybody_lost":
            allowed = Fraction(-1)
        return started_on + (floor(allowed) + 1) * ONE_DAY

    def _season_after(self, day: date) -> date:
        """Return the last day of the first season that begins after a day."""
        found = []
        for year in range(day.year, day.year + 3):
            for season in self.seasons:
                first, last = season.split("..")
                starts = date.fromisoformat(f"{year}-{first}")
                ends = date.fromisoformat(f"{year + (last < first)}-{last}")
                found.append((starts, ends))
        return min(season for season in found if season[0] > day)[1]


@dataclass(frozen=True)
class Tiers:
    """A version of the value tiers."""

    measure: str = "revenue"
    method: str = "share"
    high: str = "0.20"
    middle: str = "0.50"
    valid_from: date = date.min

    def declared(self) -> dict[str, Any]:
        """Return it as it stands in a source's file."""
        entry = {"measure": self.measure, "method": self.method}
        entry |= {"high": float(self.high), "middle": float(self.middle)}
        if self.valid_from > date.min:
            entry["valid_from"] = self.valid_from.isoformat()
        return entry

    def cutoffs(self, values: list[Decimal]) -> tuple[Decimal, Decimal] | None:
        """Return the least values of high and middle, given those of all buyers."""
        if not values:
            return None
        if self.method == "cutoff":
            return Decimal(self.high), Decimal(self.middle)
        highest_first = sorted(values, reverse=True)

        def least(share: str) -> Decimal:
            # The place of the first of equal values is the number of greater ones.
            end = Fraction(share) * len(values)
            found = [v for v in highest_first if highest_first.index(v) < end]
            return max(found[-1], Decimal("0.01"))

        return least(self.high), least(self.middle)

    def tier(self, worth: "Worth", cutoffs: tuple[Decimal, Decimal]) -> str:
        value = self.measured(worth)
        if value >= cutoffs[0]:
            return "high"
        return "middle" if value >= cutoffs[1] else "low"

    def measured(self, worth: "Worth") -> Decimal:
        return getattr(worth, self.measure)


@dataclass(frozen=True)
class World:
    """A shop's settings; its events follow from the seed."""

    as_of: date
    definitions: tuple[Definition, ...]
    basis: str = "purchase"
    typical: int = 30
    alarm_gaps: int = 3
    new_days: int = 30
    evergreen: int = 3
    client: int = 5
    decline: str = "0.50"
    return_rise: str = "0.20"
    lift: str = "2"
    tiers: tuple[Tiers, ...] = (Tiers(),)
    seed: int = 1

    @property
    def first_day(self) -> date:
        return self.as_of - timedelta(days=800)

    @property
    def lost(self) -> int:
        return self.definitions[-1].lost

    def source(self) -> str:
        """Return the shop's configuration."""
        return SOURCE.format(
            churn_definition=json.dumps([one.declared(self.basis) for one in self.definitions]),
            value_tiers=json.dumps([one.declared() for one in self.tiers]),
            settings=json.dumps(
                {
                    "typical_gap_days": self.typical,
                    "alarm_gap_count": self.alarm_gaps,
                    "new_customer_days": self.new_days,
                    "evergreen_purchase_days": self.evergreen,
                    "client_purchase_days": self.client,
                    "decline_share": self.decline,
                    "return_share_rise": self.return_rise,
                    "alert_lift": self.lift,
                }
            ),
        )

    def variables(self, paths: SourcePaths) -> dict[str, Any]:
        """Return dbt's variables as a run gives them."""
        days = {"as_of_date": self.as_of.isoformat(), "first_day": self.first_day.isoformat()}
        return load_source(paths).model_settings() | days


def make_shop(folder: Path, world: World) -> SourcePaths:
    paths = SourcePaths(folder, "shop")
    (paths.landing / "crm").mkdir(parents=True)
    (folder / "sources").mkdir()
    (folder / "sources" / "shop.yml").write_text(world.source())
    return paths


def deliver(paths: SourcePaths, name: str, lines: Iterable[Line]) -> None:
    header = [one.name for one in fields(Line)]
    write_csv(paths.landing / name, header, (astuple(line) for line in lines))


def deliver_contacts(paths: SourcePaths, events: Events) -> None:
    members = [(one.customer, one.joined, one.came_by, one.region) for one in events.members]
    write_csv(
        paths.landing / "crm" / "members.csv", ["customer", "joined", "came_by", "region"], members
    )
    contacts = [(one.customer, one.day, one.kind, one.direction) for one in events.contacts]
    write_csv(
        paths.landing / "crm" / "interactions.csv",
        ["customer", "day", "kind", "direction"],
        contacts,
    )


def write_csv(file: Path, header: list[str], rows: Iterable[tuple]) -> None:
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


def load(paths: SourcePaths, batch: str, *tables: str) -> None:
    with connect(paths) as connection:
        prepare_raw(connection)
        scoring.create_tables(connection)
        for table in ("transactions", *tables):
            load_table(connection, load_source(paths), paths, table, batch_id=batch)


def build(paths: SourcePaths, world: World, events: Events, *command: str) -> None:
    """Bring the events into a warehouse and the models after them."""
    deliver(paths, "lines.csv", events.lines)
    deliver_contacts(paths, events)
    load(paths, "1", "customers", "interactions")
    run_dbt(paths.warehouse, *command, variables=world.variables(paths))


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
        scoring.create_tables(connection)
    run_dbt(paths.warehouse, "build", "--empty", "--exclude-resource-type", "test", "unit_test")
    return paths


def test_unit_tests_pass(empty: SourcePaths) -> None:
    run_dbt(empty.warehouse, "test", "--select", "test_type:unit")


def test_marts_accept_no_value_that_is_not_listed(empty: SourcePaths) -> None:
    """DuckDB holds the checks of the tables it has built, and so refuses other values."""
    listed = {
        (model["name"], column["name"]): constraint["expression"].split(" in ")[1]
        for path in (MODELS / "marts").rglob("_*__models.yml")
        for model in yaml.safe_load(path.read_text())["models"]
        for column in model["columns"]
        for constraint in column.get("constraints", [])
        if constraint["type"] == "check"
    }
    assert len(listed) == 29
    held = rows_of(
        empty,
        "select table_name, constraint_column_names[1], expression from duckdb_constraints() "
        "where schema_name = 'marts' and constraint_type = 'CHECK'",
    )
    assert {(table, column): re.findall(r"\w+", text)[2:] for table, column, text in held} == {
        key: re.findall(r"\w+", values) for key, values in listed.items()
    }
    with connect(empty) as connection, pytest.raises(duckdb.ConstraintException, match="to_tier"):
        connection.execute(
            "insert into marts.value_tier_movements "
            "values (date '2024-01-01', 'none', 'golden', 1, 0, 'EUR', true)"
        )


def test_every_column_is_described(empty: SourcePaths) -> None:
    described = set()
    described_in = [("models", path) for path in MODELS.rglob("_*__models.yml")]
    for kind, path in [*described_in, ("seeds", SEEDS / "_seeds.yml")]:
        for table in yaml.safe_load(path.read_text())[kind]:
            assert table["description"]
            described |= {
                (table["name"], column["name"])
                for column in table["columns"]
                if column["description"]
            }
    columns = rows_of(
        empty,
        "select table_name, column_name from information_schema.columns "
        "where table_schema in ('staging', 'intermediate', 'marts')",
    )
    assert set(columns) == described
    assert {path.stem for path in SEEDS.glob("*.csv")} <= {table for table, _ in columns}


@pytest.mark.parametrize("model", sorted(MODELS.rglob("*.sql")), ids=lambda path: path.stem)
def test_models_would_mean_the_same_on_spark(model: Path) -> None:
    sql = re.sub(r"--.*", "", model.read_text())
    unlike = r"::|/|\b(?:exclude|generate_series|asof|current_date)\b|\b(?:avg|concat|now)\("
    assert not re.findall(unlike, sql)
    for order in re.findall(r"order by (.*?)(?=[)\"]|\brows\b|\brange\b|$)", sql, re.DOTALL):
        assert all(item.rstrip().endswith("nulls last") for item in order.split(",")), order


@pytest.mark.parametrize(
    ("rows", "key", "not_null", "failing"),
    [
        ("(1, 1, 'a'), (1, 2, null)", ["x", "y"], ["x", "y"], 0),
        ("(1, 1, 'a'), (1, 1, 'b'), (2, 1, 'c')", ["x", "y"], ["x", "y"], 1),
        ("(1, 1, 'a'), (1, null, 'b')", ["x", "y"], ["x", "y"], 1),
        ("(1, 1, 'a'), (1, 1, 'a')", [], ["x", "y"], 0),
        ("(1, null, 'a'), (null, 2, 'a')", [], ["x", "y"], 2),
        ("(1, 1, null), (1, 1, null), (2, null, 'a')", ["x", "y"], [], 1),
    ],
)
def test_well_formed_finds_nulls_and_repeated_keys(
    rows: str, key: list[str], not_null: list[str], failing: int
) -> None:
    text = (DBT_DIR / "tests" / "generic" / "well_formed.sql").read_text()
    body = re.sub(r"{% (test .*|endtest) %}", "", text)
    sql = Template(body).render(model="t", key=key, not_null=not_null)
    with duckdb.connect() as connection:
        connection.execute(f"create table t as from (values {rows}) as v (x, y, z)")
        assert len(connection.execute(sql).fetchall()) == failing


def labels_given_by(sql: str) -> set[str]:
    cases = set(re.findall(r"\b(?:then|else)\s+'(\w+)'", sql))
    return cases | set(re.findall(r"'(\w+)' as rule_id\b", sql))


def labels_of_models() -> dict[str, set[str]]:
    """Return the labels the cases of each model can give, those of its macros included."""
    macros = {
        name: labels_given_by(body)
        for path in (DBT_DIR / "macros").rglob("*.sql")
        for name, body in re.findall(r"macro (\w+)\((.*?)endmacro", path.read_text(), re.DOTALL)
    }
    labels = {}
    for path in MODELS.rglob("*.sql"):
        sql = path.read_text()
        called = [macros[name] for name in macros if re.search(rf"\b{name}\(", sql)]
        labels[path.stem] = labels_given_by(sql).union(*called)
    return {model: found for model, found in labels.items() if found}


def seed(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


RULES = {row["rule_id"]: row for row in seed("stage_rules")}
RFM_GROUPS = {(int(row["recency_score"]), int(row["fm_score"])): row for row in seed("rfm_groups")}


def test_every_label_is_reached_by_a_unit_test() -> None:
    expected = defaultdict(set)
    for path in MODELS.rglob("_*__unit_tests.yml"):
        for test in yaml.safe_load(path.read_text())["unit_tests"]:
            for row in test["expect"]["rows"]:
                expected[test["model"]] |= {str(value) for value in row.values()}
    labels = labels_of_models()
    assert labels["customers"] == {"high", "middle", "low"}
    assert labels["alerts"] == {"open", "lost", "recovered"}
    assert len(labels["int_silences_judged"]) == 3 + 3 + 2
    assert len(labels["int_loyalty_intervals"]) == 7
    assert len(labels["int_contact_intervals"]) == 4
    missing = {model: found - expected[model] for model, found in labels.items()}
    assert not any(missing.values()), missing


def test_every_rule_is_in_the_seed_and_every_rule_of_the_seed_is_given() -> None:
    labels = labels_of_models()
    tiers = {"high", "middle", "low"}
    assert RULES.keys() == set().union(
        labels["int_lifecycle_intervals"],
        labels["int_silences_judged"] - tiers,
        labels["int_loyalty_intervals"],
        labels["int_contact_intervals"],
    )
    stages = Counter(
        row["axis"] for row in {(r["axis"], r["stage"]): r for r in seed("stage_rules")}.values()
    )
    assert stages == {"lifecycle_stage": 6, "loyalty_stage": 6, "contact_class": 4}
    for axis in stages:
        orders = [int(row["rule_order"]) for row in seed("stage_rules") if row["axis"] == axis]
        assert orders == list(range(1, len(orders) + 1))


# The rules, read plainly


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return month_of(month_of(month) + timedelta(days=31))


def plus_months(day: date, months: int) -> date:
    month = month_of(day)
    for _ in range(months):
        month = next_month(month)
    return month + min(day.day - 1, (next_month(month) - month).days - 1) * ONE_DAY


PURCHASE_CLASSES = (1, 2, 3, 5, 10)


def purchase_class(number: int) -> int:
    """Return the least number of purchase days in the class of the n-th one."""
    return max(least for least in PURCHASE_CLASSES if least <= number)


def rounded(value: Fraction, digits: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def share(numerator: int, denominator: int) -> Decimal | None:
    return rounded(Fraction(numerator, denominator), 6) if denominator else None


def share_of_amounts(numerator: Decimal, denominator: Decimal) -> Decimal | None:
    return rounded(Fraction(numerator) / Fraction(denominator), 6) if denominator > 0 else None


class Near(Fraction):
    """A number that a table shows rounded from floating point: a tie may fall either way."""

    def is_shown_as(self, shown: Decimal | None) -> bool:
        if shown is None:
            return False
        unit = Fraction(10) ** int(shown.as_tuple().exponent)
        return abs(Fraction(shown) - self) <= unit / 2 + Fraction(1, 10**9)


@dataclass(frozen=True)
class Worth:
    """What a buyer was worth on a purchase day."""

    revenue: Decimal = NO_VALUE
    margin: Decimal = NO_VALUE
    expected_value: Decimal = NO_VALUE


@dataclass
class Silence:
    """From an activity of a buyer to the next."""

    start: date
    end: date | None
    last_purchase: date
    worth: Worth
    gap: Fraction
    definition: Definition
    lost_on: date
    is_lost: bool

    @property
    def value(self) -> Decimal:
        return self.worth.revenue

    @property
    def allowed(self) -> int:
        return (self.lost_on - self.start).days - 1

    def is_running(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day < self.end)


@dataclass(frozen=True)
class Signal:
    """Figures of a customer that call for an alert, in the cycle of their n-th purchase day."""

    kind: str
    number: int
    raised_on: date
    cleared_on: date | None
    is_cleared_by_loss: bool
    figures: tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class Alert:
    customer: str
    kind: str
    raised_on: date
    cleared_on: date | None
    is_cleared_by_loss: bool
    figures: tuple[Fraction, Fraction, Fraction]
    next_lost_on: date | None


class Life:
    """All that is known of one customer by the as-of date."""

    def __init__(self, world: World, customer: str) -> None:
        self.world, self.customer = world, customer
        self.revenue: dict[date, Decimal] = defaultdict(Decimal)
        self.sales: dict[date, list[Line]] = defaultdict(list)
        self.returned: dict[date, Decimal] = defaultdict(Decimal)
        self.exact_margin: dict[date, Fraction] = defaultdict(Fraction)
        self.records: list[Member] = []
        self.contacts: list[Contact] = []
        # By the class of a purchase day, once all lives are known.
        self.return_shares: dict[int, Fraction] = {}

    def between(self, first: date, last: date) -> Decimal:
        return sum((a for day, a in self.revenue.items() if first <= day <= last), NO_VALUE)

    @cached_property
    def bought(self) -> list[date]:
        return sorted(self.sales)

    @cached_property
    def values(self) -> list[Decimal]:
        return [self.between(day - YEAR + ONE_DAY, day) for day in self.bought]

    def margin_between(self, first: date, last: date) -> Decimal:
        days = (exact for day, exact in self.exact_margin.items() if first <= day <= last)
        return sum((rounded(exact, 2) for exact in days), NO_VALUE)

    @cached_property
    def margins(self) -> list[Decimal]:
        return [self.margin_between(day - YEAR + ONE_DAY, day) for day in self.bought]

    def value_on(self, day: date) -> Decimal:
        """Return the value at stake by the latest purchase of that day or before."""
        return self.worth_on(day).revenue

    def worth_on(self, day: date) -> Worth:
        """Return the worth by the latest purchase of that day or before."""
        number = bisect_right(self.bought, day)
        if not number:
            return Worth()
        margin = self.margins[number - 1]
        expected = rounded(abs(Fraction(margin)) * self.return_shares[purchase_class(number)], 2)
        return Worth(self.values[number - 1], margin, expected.copy_sign(margin))

    def order_count(self, day: date) -> int:
        orders = {line.order for line in self.sales[day]} - {None}
        return len(orders) or 1

    @cached_property
    def interacted(self) -> list[date]:
        return sorted({one.day for one in self.contacts if one.is_by_customer})

    @cached_property
    def first_contact(self) -> date:
        return min((one.day for one in self.contacts), default=date.max)

    @cached_property
    def first_referral(self) -> date:
        days = (one.day for one in self.contacts if one.kind == "referral")
        return min(days, default=date.max)

    @cached_property
    def known_on(self) -> date | None:
        days = [*self.revenue, *(one.day for one in self.contacts)]
        days += [one.joined for one in self.records if one.joined]
        return min(days, default=None)

    @cached_property
    def history_starts(self) -> date:
        if self.known_on is None:
            return self.world.first_day
        if any(one.joined is None for one in self.records):
            return min(self.known_on, self.world.first_day)
        return self.known_on

    @cached_property
    def silences(self) -> list[Silence]:
        if not self.bought:
            return []
        days = set(self.bought)
        if self.world.basis == "both":
            days |= {day for day in self.interacted if day > self.bought[0]}
        active, found = sorted(days), []
        for index, (start, end) in enumerate(pairwise([*active, None])):
            total = (start - active[0]).days + 2 * self.world.typical
            gap = Fraction(total, index + 2)
            versions = [one for one in self.world.definitions if one.valid_from <= start]
            lost_on = versions[-1].lost_on(start, gap)
            found.append(
                Silence(
                    start,
                    end,
                    self.bought[bisect_right(self.bought, start) - 1],
                    self.worth_on(start),
                    gap,
                    versions[-1],
                    lost_on,
                    is_lost=lost_on <= (end or self.world.as_of),
                )
            )
        return found

    def silence_on(self, day: date) -> Silence:
        return self.silences[bisect_right(self.silences, day, key=lambda one: one.start) - 1]

    def next_loss(self, day: date) -> date | None:
        """Return the first day as a lost customer after a day on which they are not."""
        return min((one.lost_on for one in self.losses if one.lost_on > day), default=None)

    @cached_property
    def losses(self) -> list[Silence]:
        return [one for one in self.silences if one.is_lost]

    def is_lost_on(self, day: date) -> bool:
        return self.silence_on(day).lost_on <= day

    # Alerts

    def earlier_and_recent(self, number: int, measure: Any) -> tuple[Fraction, Fraction]:
        """Return a measure of the days after the first purchase day, and of the last two cycles."""
        first, middle, last = (self.bought[index] for index in (0, number - 3, number - 1))
        return measure(first + ONE_DAY, middle), measure(middle + ONE_DAY, last)

    def quantity(self, first: date, last: date) -> Fraction:
        days = (day for day in self.bought if first <= day <= last)
        return Fraction(sum(line.quantity or 0 for day in days for line in self.sales[day]))

    def line_count(self, first: date, last: date) -> Fraction:
        return Fraction(sum(len(self.sales[day]) for day in self.bought if first <= day <= last))

    def raw_signals(self) -> Iterator[tuple[str, int, date, tuple[Fraction, Fraction, Fraction]]]:
        kept = 1 - Fraction(self.world.decline)
        revenue = lambda first, last: Fraction(self.between(first, last))  # noqa: E731
        for number in range(5, len(self.bought) + 1):
            first, middle, day = (self.bought[index] for index in (0, number - 3, number - 1))
            for kind, measure in (("value_down", revenue), ("volume_down", self.quantity)):
                earlier, recent = self.earlier_and_recent(number, measure)
                usual = 30 * earlier / (middle - first).days
                seen = 30 * recent / (day - middle).days
                if earlier > 0 and seen < kept * usual:
                    yield kind, number, day, (usual, seen, kept * usual)
            earlier, recent = self.earlier_and_recent(number, self.line_count)
            usual, seen = earlier / (number - 3), recent / 2
            if usual >= 2 and seen < kept * usual:
                yield "basket_narrowing", number, day, (usual, seen, kept * usual)
        for number in range(4, len(self.bought) + 1):
            until = [*self.bought, date.max][number]
            for day in sorted(set(self.revenue)):
                figures = self.bought[number - 1] <= day < until and self.returns(number, day)
                if figures:
                    yield "return_share_rising", number, day, figures
                    break

    def returns(self, number: int, day: date) -> tuple[Fraction, Fraction, Fraction] | None:
        before = self.bought[number - 2]

        def total(amounts: dict[date, Decimal], first: date, last: date) -> Fraction:
            return Fraction(sum((a for d, a in amounts.items() if first <= d <= last), NO_VALUE))

        sold = {day: sum(line.amount for line in lines) for day, lines in self.sales.items()}
        earlier, recent = (date.min, before - ONE_DAY), (before, day)
        if not total(sold, *earlier) > 0 or not total(sold, *recent) > 0:
            return None
        usual = total(self.returned, *earlier) / total(sold, *earlier)
        seen = total(self.returned, *recent) / total(sold, *recent)
        threshold = usual + Fraction(self.world.return_rise)
        return (usual, seen, threshold) if seen > threshold else None

    @cached_property
    def signals(self) -> list[Signal]:
        """Return what calls for an alert while the customer is not lost already."""
        found = []
        for kind, number, day, figures in self.raw_signals():
            if not self.is_lost_on(day):
                next_purchase = [*self.bought, None][number]
                loss = self.next_loss(day)
                is_loss = loss is not None and (next_purchase is None or loss <= next_purchase)
                cleared = loss if is_loss else next_purchase
                found.append(Signal(kind, number, day, cleared, is_loss, figures))
        return found

    def alerts(self) -> Iterator[Alert]:
        for silence in self.silences:
            allowed, own = silence.allowed, self.world.alarm_gaps * silence.gap
            patience = floor(min(max(own, Fraction(allowed, 3)), Fraction(2 * allowed, 3)))
            raised = silence.start + (patience + 1) * ONE_DAY
            if raised <= self.world.as_of and (silence.end is None or raised < silence.end):
                yield Alert(
                    self.customer,
                    "overdue",
                    raised,
                    silence.lost_on if silence.is_lost else silence.end,
                    silence.is_lost,
                    (silence.gap, Fraction(patience + 1), Fraction(patience)),
                    self.next_loss(raised - ONE_DAY),
                )
        by_kind = sorted(self.signals, key=lambda one: (one.kind, one.number))
        for kind, signals in groupby(by_kind, key=lambda one: one.kind):
            run: list[Signal] = []
            for signal in [*signals, None]:
                goes_on = (
                    run
                    and signal
                    and signal.number == run[-1].number + 1
                    and not run[-1].is_cleared_by_loss
                )
                if run and not goes_on:
                    yield Alert(
                        self.customer,
                        kind,
                        run[0].raised_on,
                        run[-1].cleared_on,
                        run[-1].is_cleared_by_loss,
                        run[0].figures,
                        self.next_loss(run[0].raised_on),
                    )
                    run = []
                if signal:
                    run.append(signal)


class Reference:
    """What the tables should hold, computed customer by customer without any SQL."""

    def __init__(self, world: World, events: Events) -> None:
        self.world = world
        self.lives: dict[str, Life] = {}
        for line in events.lines:
            if line.customer and line.day <= world.as_of:
                life = self._life(line.customer)
                life.revenue[line.day] += line.amount if line.is_used else NO_VALUE
                life.exact_margin[line.day] += line.margin
                if line.kind == "sale":
                    life.sales[line.day].append(line)
                if line.kind == "return":
                    life.returned[line.day] -= min(line.amount, NO_VALUE)
        for member in events.members:
            if member.joined is None or member.joined <= world.as_of:
                self._life(member.customer).records.append(member)
        for contact in events.contacts:
            if contact.day <= world.as_of:
                self._life(contact.customer).contacts.append(contact)
        self.buyers = [life for life in self.lives.values() if life.bought]
        self.learn_return_shares()
        self.months = [month_of(world.first_day)]
        while self.months[-1] < month_of(world.as_of):
            self.months.append(next_month(self.months[-1]))
        self.cutoffs_by_month = {
            month: self.tier_cutoffs(self.tiers_in_force(month), self.end_of(month))
            for month in self.months
        }

    def learn_return_shares(self) -> None:
        """Tell all lives who came back within the longest horizon, by class of purchase day.

        A class has 20 more purchase days at the share of all.
        """
        first = min((life.bought[0] for life in self.buyers), default=self.world.as_of)
        observed = (self.world.as_of - first).days
        horizon = max((days for days in (365, 180, 90) if days <= observed), default=None)
        outcomes = defaultdict(list)
        for life in self.buyers if horizon else []:
            for number, (day, following) in enumerate(pairwise([*life.bought, date.max]), 1):
                end = day + horizon * ONE_DAY
                if end <= self.world.as_of:
                    outcomes[purchase_class(number)].append(following <= end)
        everybody = [one for found in outcomes.values() for one in found]
        shares = defaultdict(lambda: Fraction(1))
        for class_ in PURCHASE_CLASSES if everybody else ():
            found = outcomes[class_]
            typical = Fraction(rounded(Fraction(sum(everybody), len(everybody)), 4))
            share = rounded((sum(found) + 20 * typical) / (len(found) + 20), 6)
            shares[class_] = Fraction(share)
        for life in self.buyers:
            life.return_shares = shares

    def _life(self, customer: str) -> Life:
        if customer not in self.lives:
            self.lives[customer] = Life(self.world, customer)
        return self.lives[customer]

    def end_of(self, month: date) -> date:
        return min(next_month(month) - ONE_DAY, self.world.as_of)

    def is_over(self, month: date) -> bool:
        return next_month(month) - ONE_DAY <= self.world.as_of

    def tiers_in_force(self, month: date) -> Tiers:
        end = self.end_of(month)
        return [one for one in self.world.tiers if one.valid_from <= end][-1]

    def tier_cutoffs(self, tiers: Tiers, end: date) -> tuple[Decimal, Decimal] | None:
        buyers = [life for life in self.buyers if life.bought[0] <= end]
        return tiers.cutoffs([tiers.measured(life.worth_on(end)) for life in buyers])

    def tier(self, worth: Worth, month: date) -> str:
        return self.tiers_in_force(month).tier(worth, self.cutoffs_by_month[month])

    def tier_of(self, silence: Silence) -> str:
        return self.tier(silence.worth, month_of(silence.start))

    # Alerts

    @cached_property
    def all_alerts(self) -> list[Alert]:
        return [alert for life in self.buyers for alert in life.alerts()]

    @property
    def horizon(self) -> int:
        return self.world.lost // 30 + 2

    @cached_property
    def active_at_start(self) -> dict[date, list[date | None]]:
        """Return, by month, the next loss of everybody who was active as it began."""
        active = defaultdict(list)
        for month in self.months:
            for life in self.buyers:
                if life.bought[0] < month and not life.is_lost_on(month - ONE_DAY):
                    active[month].append(life.next_loss(month - ONE_DAY))
        return active

    def known_quality(self, kind: str, month: date) -> tuple[int, int, int, int]:
        """Return alerts and right ones, actives and lost ones, whose outcome a month began with."""
        alerts = right = base = base_lost = 0
        for alert in self.all_alerts:
            end = plus_months(alert.raised_on, self.horizon)
            if alert.kind == kind and next_month(end) <= month:
                alerts += 1
                right += alert.next_lost_on is not None and alert.next_lost_on < end
        for start, losses in self.active_at_start.items():
            end = plus_months(start, self.horizon)
            if end <= month:
                base += len(losses)
                base_lost += sum(loss is not None and loss < end for loss in losses)
        return alerts, right, base, base_lost

    @cached_property
    def alarming(self) -> set[tuple[str, date]]:
        """Return the kinds of alert, and months, that put a customer into alarm."""
        found = set()
        for month in self.months:
            for kind in KINDS:
                alerts, right, base, base_lost = self.known_quality(kind, month)
                proven = (
                    alerts >= 30
                    and right
                    and base
                    and Fraction(right, alerts)
                    >= Fraction(self.world.lift) * Fraction(base_lost, base)
                )
                if kind == "overdue" or proven:
                    found.add((kind, month))
        return found

    def alerts(self) -> list[tuple]:
        rows = []
        for alert in self.all_alerts:
            metric, direction = KINDS[alert.kind]
            figures = (Near(figure) for figure in alert.figures)
            outcome = "lost" if alert.is_cleared_by_loss else "recovered"
            outcome = outcome if alert.cleared_on else "open"
            dates = alert.raised_on, alert.cleared_on, outcome
            rows.append((alert.customer, alert.kind, metric, *figures, direction, *dates))
        return rows

    def alert_quality(self) -> list[tuple]:
        month, rows = self.months[-1], []
        losses = {
            (life.customer, loss.lost_on)
            for life in self.buyers
            for loss in life.losses
            if loss.lost_on < month
        }
        months = sum(len(self.active_at_start[one]) for one in self.months if one < month)
        for kind in KINDS:
            alerts, right, base, base_lost = self.known_quality(kind, month)
            raised = [one for one in self.all_alerts if one.kind == kind and one.raised_on < month]
            warnings: dict[tuple, int] = {}
            for alert in raised:
                loss = alert.next_lost_on
                if loss and loss < min(month, plus_months(alert.raised_on, self.horizon)):
                    key = alert.customer, loss
                    warnings[key] = max(warnings.get(key, 0), (loss - alert.raised_on).days)
            days = sorted(warnings.values())
            is_alarming = (kind, month) in self.alarming
            finding = "puts customers into alarm: right often enough, against the base rate"
            if kind == "overdue":
                finding = "always puts customers into alarm"
            elif alerts < 30:
                finding = "informs only: fewer than 30 alerts with a known outcome"
            elif not is_alarming:
                finding = "informs only: not right often enough, against the base rate"
            rows.append(
                (
                    *(kind, month, self.horizon, alerts, share(right, alerts)),
                    *(share(base_lost, base), share(len(warnings), len(losses))),
                    days[(len(days) - 1) // 2] if days else None,
                    Near(Fraction(12 * len(raised), months)) if months else None,
                    *(is_alarming, finding),
                )
            )
        return rows

    # Stages

    def lifecycle_rule(self, life: Life, day: date) -> str:
        world, count = self.world, bisect_right(life.bought, day)
        if not count:
            return "prospect_never_bought"
        silence = life.silence_on(day)
        since, allowed = (day - silence.start).days, silence.allowed
        if since > allowed:
            is_season = silence.definition.method == "season"
            return "lost_season_passed" if is_season else "lost_over_threshold"
        if 3 * since > allowed and since > world.alarm_gaps * silence.gap:
            return "alarm_over_own_rhythm"
        if 3 * since > 2 * allowed:
            return "alarm_over_two_thirds"
        for signal in life.signals:
            raised = max(signal.raised_on, silence.start)
            is_open = raised <= day and (signal.cleared_on is None or day < signal.cleared_on)
            if is_open and (signal.kind, month_of(raised)) in self.alarming:
                return "alarm_by_alert"
        since_purchase = (day - life.bought[0]).days
        if count == 1 and since_purchase <= world.new_days and 3 * since_purchase <= allowed:
            return "new_first_purchase"
        if count >= world.evergreen and 2 * silence.gap <= allowed:
            return "evergreen_steady_rhythm"
        return "vulnerable_no_rhythm"

    def loyalty_rule(self, life: Life, day: date) -> str:
        count = bisect_right(life.bought, day)
        if count >= self.world.client:
            if self.lifecycle_rule(life, day).startswith(("alarm", "lost")):
                return "repeat_client_slipping"
            if life.first_referral <= day:
                return "advocate_client_with_referral"
            return "client_many_purchase_days"
        if count:
            return "first_time_one_purchase_day" if count == 1 else "repeat_purchase_days"
        has_interacted = bisect_right(life.interacted, day) > 0
        return "prospect_interacted" if has_interacted else "suspect_no_interaction"

    def contact_rule(self, life: Life, day: date) -> str:
        count = bisect_right(life.bought, day)
        if count >= self.world.client:
            return "high_repurchase_days"
        if count:
            return "bought_purchase_days"
        is_contacted = life.first_contact <= day
        return "contacted_without_purchase" if is_contacted else "never_contacted_yet"

    @cached_property
    def axes(self) -> dict[str, Any]:
        return {
            "lifecycle_stage": self.lifecycle_rule,
            "loyalty_stage": self.loyalty_rule,
            "contact_class": self.contact_rule,
        }

    @cached_property
    def days(self) -> dict[tuple[str, str], list[tuple[date, str]]]:
        """Return the rule of every known day, by customer and axis."""
        days = {}
        for life in self.lives.values():
            known = [
                life.history_starts + number * ONE_DAY
                for number in range((self.world.as_of - life.history_starts).days + 1)
            ]
            for axis, rule in self.axes.items():
                days[life.customer, axis] = [(day, rule(life, day)) for day in known]
        return days

    @cached_property
    def history(self) -> list[tuple]:
        rows = []
        for (customer, axis), days in self.days.items():
            for rule, run in groupby(days, key=lambda one: one[1]):
                held = [day for day, _ in run]
                value = self.lives[customer].value_on(held[0])
                stage = RULES[rule]["stage"]
                is_current = held[-1] == self.world.as_of
                dates = held[0], held[-1], is_current
                rows.append((customer, axis, stage, rule, *dates, value, "EUR"))
        return rows

    def customer_stage_history(self) -> list[tuple]:
        return self.history

    def stage_transitions(self) -> list[tuple]:
        last_value: dict[tuple, Decimal] = {}
        for customer, axis, _, _, valid_from, _, _, value, _ in self.history:
            last_value[customer, axis, month_of(valid_from)] = value
        count: Counter[tuple] = Counter()
        total: dict[tuple, Decimal] = defaultdict(Decimal)
        for (customer, axis), days in self.days.items():
            stages = {day: RULES[rule]["stage"] for day, rule in days}
            for month in self.months:
                before = stages.get(month - ONE_DAY, "unknown")
                after = stages.get(self.end_of(month))
                if after and after != before:
                    key = month, axis, before, after
                    count[key] += 1
                    total[key] += last_value[customer, axis, month]
        return [(*key, number, total[key], "EUR") for key, number in count.items()]

    def customers(self) -> list[tuple]:
        world, rows = self.world, []
        for life in self.lives.values():
            purchase = None, None
            hiatus = gap = threshold = lost_on = until_lost = tier = None
            rules = {axis: rule(life, world.as_of) for axis, rule in self.axes.items()}
            stages = [(RULES[rule]["stage"], rule) for rule in rules.values()]
            is_lost = stages[0][0] == "lost"
            if life.bought:
                silence, purchase = life.silences[-1], (life.bought[0], life.bought[-1])
                hiatus, gap = (world.as_of - life.bought[-1]).days, rounded(silence.gap, 2)
                tier = self.tier(life.worth_on(world.as_of), self.months[-1])
                threshold = silence.allowed if silence.definition.method != "season" else None
                lost_on = silence.lost_on if is_lost else None
                until_lost = None if is_lost else (silence.lost_on - world.as_of).days
            regained = sum(loss.end is not None for loss in life.losses)
            rows.append(
                (
                    *(life.customer, life.known_on, *purchase),
                    life.interacted[-1] if life.interacted else None,
                    *(len(life.bought), hiatus, gap),
                    sum(life.revenue.values(), NO_VALUE),
                    life.between(world.as_of - YEAR + ONE_DAY, world.as_of),
                    *(life.value_on(world.as_of), "EUR"),
                    *(part for pair in stages for part in pair),
                    *(threshold, lost_on, until_lost),
                    *(len(life.losses), regained, regained > 0 and not is_lost, tier),
                    min((one.came_by for one in life.records if one.came_by), default=None),
                    min((one.region for one in life.records if one.region), default=None),
                )
            )
        return rows

    # Value

    def customer_values(self) -> list[tuple]:
        as_of, rows = self.world.as_of, []
        for life in self.lives.values():
            last = life.bought[-1] if life.bought else date.min + YEAR
            periods = {
                "lifetime": (date.min, as_of),
                "trailing_365d": (as_of - 364 * ONE_DAY, as_of),
                "trailing_90d": (as_of - 89 * ONE_DAY, as_of),
                "last_active_year": (last - 364 * ONE_DAY, last),
            }
            for order, (period, (first, end)) in enumerate(periods.items(), 1):
                days = [day for day in life.bought if first <= day <= end]
                lines = [line for day in days for line in life.sales[day]]
                sold = sum((line.amount for line in lines), NO_VALUE)
                saved = sum((line.discount or NO_VALUE for line in lines), NO_VALUE)
                back = sum((a for d, a in life.returned.items() if first <= d <= end), NO_VALUE)
                orders = sum(life.order_count(day) for day in days)
                average = rounded(Fraction(sold) / orders, 2) if orders else None
                rows.append(
                    (
                        *(life.customer, period, order, life.between(first, end)),
                        *(life.margin_between(first, end), orders, len(days)),
                        *(sold, saved, back, average),
                        share_of_amounts(saved, sold + saved),
                        share_of_amounts(back, sold),
                        "EUR",
                    )
                )
        return rows

    def tier_versions(self) -> list[tuple]:
        as_of, rows = self.world.as_of, []
        for number, tiers in enumerate(self.world.tiers, 1):
            cutoffs = self.tier_cutoffs(tiers, as_of)
            found = defaultdict(list)
            for life in self.buyers:
                found[tiers.tier(life.worth_on(as_of), cutoffs)].append(life.worth_on(as_of))
            starts = [one.valid_from for one in self.world.tiers[number:]]
            valid_to = starts[0] - ONE_DAY if starts else None
            is_in_force = tiers.valid_from <= as_of and (valid_to is None or as_of <= valid_to)
            for order, (tier, label, label_zh, boundary, cutoff) in enumerate(
                (
                    ("high", "High value", "高价值", Decimal(tiers.high), cutoffs[0]),
                    ("middle", "Middle value", "中价值", Decimal(tiers.middle), cutoffs[1]),
                    ("low", "Low value", "低价值", None, None),
                ),
                1,
            ):
                sums = (
                    sum((worth.revenue for worth in found[tier]), NO_VALUE),
                    sum((worth.margin for worth in found[tier]), NO_VALUE),
                )
                rows.append(
                    (
                        *(number, tier, order, label, label_zh, tiers.valid_from, valid_to),
                        *(is_in_force, tiers.measure, tiers.method, boundary, cutoff),
                        *(len(found[tier]), *sums, "EUR"),
                    )
                )
        return rows

    def value_tier_movements(self) -> list[tuple]:
        moves: dict[tuple, list[Decimal]] = defaultdict(list)
        for life in self.buyers:
            before = "none"
            for month in self.months:
                if life.bought[0] <= self.end_of(month):
                    worth = life.worth_on(self.end_of(month))
                    after = self.tier(worth, month)
                    moves[month, before, after].append(worth.revenue)
                    before = after
        return [
            (
                *(*key, len(values), sum(values, NO_VALUE), "EUR"),
                self.is_over(key[0]) and key[0] >= self.world.first_day,
            )
            for key, values in moves.items()
        ]

    def customer_rfm(self) -> list[tuple]:
        rows = []
        measures = {
            life.customer: (
                (self.world.as_of - life.bought[-1]).days,
                len(life.bought),
                sum(life.revenue.values(), NO_VALUE),
            )
            for life in self.buyers
        }
        worse_first = [
            sorted(-one[0] for one in measures.values()),
            sorted(one[1] for one in measures.values()),
            sorted(one[2] for one in measures.values()),
        ]
        for customer, (recency, frequency, monetary) in measures.items():
            r, f, m = (
                1 + 5 * bisect_left(values, value) // len(values)
                for values, value in zip(worse_first, (-recency, frequency, monetary), strict=True)
            )
            fm = floor(Fraction(f + m, 2) + Fraction(1, 2))
            figures = recency, frequency, monetary, "EUR", r, f, m, fm
            rows.append((customer, *figures, f"{r}{f}{m}", RFM_GROUPS[r, fm]["rfm_group"]))
        return rows

    # Months

    def active(self) -> dict[date, set[str]]:
        active = defaultdict(set)
        for life in self.buyers:
            for day in life.bought:
                active[month_of(day)].add(life.customer)
        return active

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
        cohorts, rows = defaultdict(list), []
        for life in self.buyers:
            cohorts[month_of(life.bought[0])].append(life)
        for acquired, cohort in cohorts.items():
            total = NO_VALUE
            for since, month in enumerate(month for month in self.months if month >= acquired):
                end = self.end_of(month)
                bought = sum(any(month <= day <= end for day in life.bought) for life in cohort)
                later = sum(life.bought[-1] >= month for life in cohort)
                kept = sum(not life.is_lost_on(end) for life in cohort)
                revenue = sum((life.between(month, end) for life in cohort), NO_VALUE)
                total += revenue
                size = len(cohort)
                row = acquired, since, size
                for count in (bought, later, kept):
                    row += count, share(count, size)
                each = rounded(Fraction(total) / size, 2)
                rows.append((*row, revenue, each, "EUR", self.is_over(month)))
        return rows

    def spend_by_tenure(self) -> list[tuple]:
        as_of, segments, rows = self.world.as_of, defaultdict(list), []
        for life in self.buyers:
            sources = [one.came_by for one in life.records if one.came_by]
            segments["all", "all"].append(life)
            segments["acquisition_month", f"{life.bought[0]:%Y-%m}"].append(life)
            if sources:
                segments["acquisition_source", min(sources)].append(life)
        for segment, lives in segments.items():
            first_bought = min(life.bought[0] for life in lives)
            for month in range(tenure_month(first_bought, as_of) + 1):
                # The last day before the next month's first.
                last_day = -(-365 * (month + 1) // 12) - 1
                seen = [one for one in lives if (as_of - one.bought[0]).days >= last_day]
                ends = {one: one.bought[0] + last_day * ONE_DAY for one in seen}
                spent = {one: tenure_spend(one, month, month) for one in seen}
                kept = [one for one in seen if not one.is_lost_on(ends[one])]
                counts = len(lives), len(seen), len(kept), share(len(kept), len(seen))
                total = sum(spent.values(), NO_VALUE)
                kept_total = sum((spent[one] for one in kept), NO_VALUE)
                so_far = sum((tenure_spend(one, 0, month) for one in seen), NO_VALUE)
                figures = (
                    *(total, kept_total, each(total, seen), each(kept_total, kept)),
                    each(so_far, seen),
                )
                if not seen:
                    counts, figures = (*counts[:2], None, None), (None,) * 5
                is_mature = len(seen) == len(lives)
                rows.append((*segment, month, *counts, *figures, "EUR", is_mature))
        return rows

    def lost_episodes(self) -> list[tuple]:
        as_of, rows = self.world.as_of, []
        for life in self.buyers:
            for number, loss in enumerate(life.losses, 1):
                back = loss.end
                after = second = is_over = ratio = is_second_over = None
                if back:
                    next_loss = [*life.losses, None][number]
                    after = life.between(back, back + YEAR - ONE_DAY)
                    is_over = back + YEAR - ONE_DAY <= as_of
                    lost_again = next_loss.lost_on if next_loss else as_of + ONE_DAY
                    second = life.between(back, lost_again - ONE_DAY)
                    is_second_over = next_loss is not None
                    if is_over and loss.value > 0:
                        ratio = Near(Fraction(after) / Fraction(loss.value))
                rows.append(
                    (
                        *(life.customer, number, loss.last_purchase, loss.lost_on, back),
                        *(((back or as_of) - loss.lost_on).days, back is None),
                        *(self.tier_of(loss), loss.value, after, is_over, ratio),
                        *(second, is_second_over, "EUR"),
                    )
                )
        return rows

    def lost_customers_by_month(self) -> list[tuple]:
        losses, rows = [loss for life in self.buyers for loss in life.losses], []
        first = min(month_of(loss.lost_on) for loss in losses)
        for month in (month for month in self.months if month >= first):
            for tier in ("high", "middle", "low"):
                found = [
                    loss
                    for loss in losses
                    if month_of(loss.lost_on) == month and self.tier_of(loss) == tier
                ]
                value = sum((loss.value for loss in found), NO_VALUE)
                lengths = [(loss.end - loss.lost_on).days for loss in found if loss.end]
                within = []
                for days in (30, 60, 90, 180, 365):
                    is_mature = next_month(month) + (days - 1) * ONE_DAY <= self.world.as_of
                    recovered = sum(length <= days for length in lengths)
                    within.append(recovered if is_mature else None)
                rows.append((month, tier, len(found), value, len(lengths), *within, "EUR"))
        return rows

    def winback_candidates(self) -> list[tuple]:
        """Return rank and customer_id."""
        tiers = ("high", "middle", "low")
        order = sorted(
            (tiers.index(row[-3]), -row[10], row[6], row[0])
            for row in self.customers()
            if row[12] in ("lost", "alarm") and row[10] > 0
        )
        return [(rank, customer) for rank, (*_, customer) in enumerate(order, 1)]

    # Churn definitions

    def compared(self) -> dict[str, tuple[Definition, ...]]:
        lost = self.world.lost
        return {
            "active": self.world.definitions,
            **{f"fixed_{days}": (Definition("fixed", days),) for days in (30, 60, 90, 180)},
            **{f"cadence_{n}": (Definition("cadence", lost, f"{n}.00"),) for n in (2, 3)},
            "everybody_lost": (Definition("everybody_lost"),),
            "nobody_lost": (Definition("nobody_lost"),),
        }

    def churn_rates(self) -> list[tuple]:
        rows = []
        for name, versions in self.compared().items():
            if name in ("everybody_lost", "nobody_lost"):
                continue
            cells: dict[tuple, list[Any]] = defaultdict(lambda: [0, 0, NO_VALUE])
            for life in self.buyers:
                segments = self.segments(life)
                for month in self.months:
                    if life.bought[0] >= month:
                        continue
                    silence = life.silence_on(month - ONE_DAY)
                    lost_on = lost_by(versions, silence)
                    if lost_on < month:
                        continue
                    end = min(self.end_of(month), silence.end or date.max)
                    for segment in (*segments, ("value_tier", self.tier_of(silence))):
                        cell = cells[month, *segment]
                        cell[0] += 1
                        if lost_on <= end:
                            cell[1] += 1
                            cell[2] += silence.value
            for (month, *segment), (base, lost, value) in cells.items():
                end = self.end_of(month)
                yearly = 1 - (1 - lost / base) ** (365 / ((end - month).days + 1))
                is_complete = self.is_over(month) and month >= self.world.first_day
                rates = share(lost, base), Near(yearly)
                rows.append((month, name, *segment, base, lost, *rates, value, "EUR", is_complete))
        return rows

    def segments(self, life: Life) -> list[tuple[str, str]]:
        found = [("all", "all"), ("acquisition_year", str(life.bought[0].year))]
        for segment, values in (
            ("acquisition_source", [one.came_by for one in life.records if one.came_by]),
            ("region", [one.region for one in life.records if one.region]),
        ):
            found += [(segment, min(values))] if values else []
        return found

    def cutoffs(self) -> list[date]:
        world = self.world
        return [
            month
            for month in self.months
            if world.first_day + 180 * ONE_DAY <= month <= world.as_of - 90 * ONE_DAY
            and plus_months(month, 27) > month_of(world.as_of)
        ]

    def churn_definition_backtest(self) -> list[tuple]:
        rows = []
        for name, versions in self.compared().items():
            for cutoff in self.cutoffs():
                for horizon in (90, 180):
                    if cutoff + horizon * ONE_DAY > self.world.as_of:
                        continue
                    called = Counter(
                        (
                            self.is_called(versions, life, cutoff),
                            bought_after(life, cutoff, horizon),
                        )
                        for life in self.buyers
                        if life.bought[0] <= cutoff
                    )
                    days = [one for one in versions if one.valid_from <= cutoff][-1]
                    days = days.lost if days.method == "fixed" else None
                    rows.append((name, cutoff, horizon, days, days, *scores(called)))
        return rows

    def is_called(self, versions: tuple[Definition, ...], life: Life, cutoff: date) -> bool:
        lost_on = lost_by(versions, life.silence_on(cutoff))
        return lost_on is not None and lost_on <= cutoff


def tenure_month(first: date, day: date) -> int:
    """Return in which twelfth of a year of 365 days since the first a day falls, from 0 on."""
    return 12 * (day - first).days // 365


def tenure_spend(life: Life, first: int, last: int) -> Decimal:
    """Return net revenue from one month of tenure to another."""
    days = (day for day in life.revenue if day >= life.bought[0])
    return sum(
        (life.revenue[d] for d in days if first <= tenure_month(life.bought[0], d) <= last),
        NO_VALUE,
    )


def each(total: Decimal, lives: list[Life]) -> Decimal | None:
    """Return an amount per customer, a half of a cent rounded away from zero."""
    return rounded(Fraction(total) / len(lives), 2) if lives else None


def lost_by(versions: tuple[Definition, ...], silence: Silence) -> date | None:
    """Return when a silence is a loss by the version in force as it began."""
    version = [one for one in versions if one.valid_from <= silence.start][-1]
    return version.lost_on(silence.start, silence.gap)


def bought_after(life: Life, cutoff: date, days: int) -> bool:
    return any(cutoff < day <= cutoff + days * ONE_DAY for day in life.bought)


def scores(called: Counter[tuple[bool, bool]]) -> tuple:
    """Return the counts and rates of a back-test, from (called lost, bought again)."""
    lost = called[True, True] + called[True, False]
    gone = called[True, False] + called[False, False]
    everybody = called.total()
    wrong = called[True, True] + called[False, False]
    balanced = None
    if gone and everybody > gone:
        balanced = Near(
            Fraction(called[True, False], 2 * gone)
            + Fraction(called[False, True], 2 * (everybody - gone))
        )
    counts = everybody, lost, called[True, True], called[False, False], gone
    rates = share(called[True, True], lost), share(called[False, False], gone)
    return (*counts, *rates, share(everybody - wrong, everybody), balanced)


KINDS = {
    "overdue": ("days of silence, against the expected gap", "up"),
    "value_down": ("net revenue per 30 days", "down"),
    "volume_down": ("quantity bought per 30 days", "down"),
    "basket_narrowing": ("sale lines per purchase day", "down"),
    "return_share_rising": ("share of sales returned", "up"),
}


def random_events(world: World, customer_count: int) -> Events:
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

    lines, members, contacts = [], [], []
    details = Random(world.seed)

    def buy(customer: str, day: date, line_count: int, amount: Decimal, quantity: int) -> None:
        if world.first_day <= day:
            for _ in range(line_count):
                known = quantity if random.random() < 0.9 else None
                order = details.choice([None, f"{customer} {day} {details.randint(1, 2)}"])
                discount = details.choice([None, Decimal(0), Decimal("0.33"), amount])
                cost = details.choice([None, Decimal("0.99")])
                lines.append(Line(customer, day, "sale", amount, known, order, discount, cost))

    def wander(customer: str) -> None:
        """Buy at a rhythm or none, with the last purchase where a rule changes."""
        # Below zero: bought after the as-of date.
        silence = random.choice([-1, 0, gap(), gap(), random.randint(0, lost)])
        day, rhythm = world.as_of - silence * ONE_DAY, random.choice([None, None, gap()])
        if rhythm and random.random() < 0.4:
            # Exactly so many rhythms, or a day more or less.
            silence = world.alarm_gaps * rhythm + random.choice([-1, 0, 1])
            day = world.as_of - silence * ONE_DAY
        for _ in range(random.choice([0, 1, 1, 1, 2, 3, 3, 4, 6, 10])):
            amount = random.choice([*amounts, Decimal(random.randint(0, 99999)) / 100])
            buy(customer, day, random.choice([1, 1, 1, 2]), amount, random.randint(1, 3))
            day -= (rhythm + random.choice([0, 0, 0, 1]) if rhythm else gap()) * ONE_DAY

    def stay(customer: str) -> None:
        """Buy at a steady rhythm, three to five lines a time, until the end."""
        day = world.first_day + random.randint(0, 300) * ONE_DAY
        rhythm = random.randint(5, max(6, lost // 3))
        while day <= world.as_of:
            buy(customer, day, random.randint(3, 5), Decimal(20), random.randint(1, 3))
            day += (rhythm + random.randint(0, 3)) * ONE_DAY

    def decline(customer: str) -> None:
        """Buy at a steady rhythm, then twice little or with returns, and mostly no more."""
        day = world.first_day + random.randint(0, 500) * ONE_DAY
        rhythm = random.randint(5, max(6, lost // 4))
        for _ in range(random.randint(4, 7)):
            buy(customer, day, 4, Decimal(20), 2)
            day += rhythm * ONE_DAY
        for _ in range(random.randint(2, 3)):
            buy(customer, day, random.choice([1, 1, 2, 4]), Decimal("5.00"), 1)
            if random.random() < 0.4:
                back = day + random.choice([0, 0, 3, lost, lost + 1, lost + 5]) * ONE_DAY
                lines.append(Line(customer, back, "return", Decimal("-8.00"), -1))
            day += rhythm * ONE_DAY
        if random.random() < 0.25:
            buy(customer, day + random.choice([0, lost, 2 * lost]) * ONE_DAY, 4, Decimal(20), 2)

    for number in range(customer_count):
        customer = f"c{number}"
        random.choice([wander, wander, wander, stay, decline])(customer)
        for kind in ("return", "postage", "adjustment"):
            if random.random() < 0.2:
                day = world.as_of - random.randint(-3, 500) * ONE_DAY
                # A return line above zero takes one back.
                sign = 1 if kind == "return" and number % 4 == 0 else -1
                lines.append(Line(customer, day, kind, sign * random.choice(amounts), -1))
        for _ in range(random.choice([0, 0, 1, 1, 2])):
            joined = world.as_of - random.randint(-3, 700) * ONE_DAY
            came_by = random.choice(["shop", "web", None])
            region = random.choice(["north", "south", None])
            joined_or_not = joined if random.random() < 0.8 else None
            members.append(Member(customer, joined_or_not, came_by, region))
        for _ in range(random.choice([0, 0, 0, 1, 3, 6])):
            day = world.as_of - random.choice([random.randint(-3, 700), lost, 30]) * ONE_DAY
            kind = random.choice(["visit", "referral", "complaint", "call", "message_sent"])
            way = "outbound" if kind == "message_sent" else random.choice(["inbound", "outbound"])
            contacts.append(Contact(customer, day, kind, way))
    lines += [Line("", world.as_of - n * ONE_DAY, "sale", Decimal(1)) for n in range(-2, 40)]
    return Events(lines, members, contacts)


def differences(actual: list[tuple], expected: list[tuple]) -> tuple[list, list]:
    """Return up to three rows that only one side has; a Near number may be shown either way."""
    assert len(actual) == len(set(actual)), "a row occurs twice"

    def key(row: tuple) -> tuple:
        return tuple(row[n] for n in exact)

    exact = [
        n for n in range(len(expected[0])) if not any(isinstance(row[n], Near) for row in expected)
    ]
    found, wanted = defaultdict(list), defaultdict(list)
    for row in actual:
        found[key(row)].append(row)
    for row in expected:
        wanted[key(row)].append(row)
    only_actual, only_expected = [], []
    for one in found.keys() | wanted.keys():
        same = len(found[one]) == len(wanted[one]) and all(
            part.is_shown_as(shown) if isinstance(part, Near) else part == shown
            for row, wish in zip(found[one], wanted[one], strict=True)
            for shown, part in zip(row, wish, strict=True)
        )
        if not same:
            only_actual += found[one]
            only_expected += wanted[one]
    return sorted(only_actual, key=str)[:3], sorted(only_expected, key=str)[:3]


WORLDS = {
    "purchases": World(date(2025, 6, 15), (Definition("fixed", 90),), seed=11),
    "versions": World(
        date(2024, 2, 29),
        (
            Definition("season", 60, seasons=("11-20..01-10", "05-01..05-31")),
            Definition("fixed", 45, valid_from=date(2022, 12, 1)),
            Definition("cadence", 60, "2.50", valid_from=date(2023, 8, 1)),
        ),
        basis="both",
        typical=17,
        alarm_gaps=2,
        new_days=12,
        evergreen=2,
        client=4,
        decline="0.40",
        return_rise="0.1",
        lift="1.5",
        tiers=(
            Tiers(high="0.33", middle="0.75"),
            Tiers("margin", high="0.25", middle="0.60", valid_from=date(2022, 12, 15)),
            Tiers("margin", "cutoff", "20", "3.5", valid_from=date(2023, 8, 1)),
            Tiers("expected_value", high="0.30", middle="0.65", valid_from=date(2023, 11, 1)),
            Tiers("revenue", "cutoff", "50", "10", valid_from=date(2024, 3, 1)),
        ),
        seed=12,
    ),
}


@dataclass(frozen=True)
class Built:
    """A shop with all its models, and what they should hold."""

    paths: SourcePaths
    reference: Reference


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    shops = {}
    for name, world in WORLDS.items():
        paths = make_shop(tmp_path_factory.mktemp(name), world)
        events = random_events(world, 500)
        build(paths, world, events, "build", "--exclude-resource-type", "test", "unit_test")
        shops[name] = Built(paths, Reference(world, events))
    return shops


TABLES = [
    *("alert_quality", "alerts", "churn_definition_backtest", "churn_rates", "cohort_retention"),
    *("customer_rfm", "customer_stage_history", "customer_values", "customers"),
    *("lifecycle_flow", "lost_customers_by_month", "lost_episodes", "spend_by_tenure"),
    *("stage_transitions", "tier_versions", "value_tier_movements"),
]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(built: dict[str, Built], world: str, table: str) -> None:
    expected = getattr(built[world].reference, table)()
    query = f"from marts.{table}"
    if table.startswith("churn"):
        # What is estimated from the data is the matter of test_survival.
        compared = ", ".join(f"'{name}'" for name in built[world].reference.compared())
        query += f" where definition_id in ({compared})"
    actual = rows_of(built[world].paths, query)
    assert differences(actual, expected) == ([], [])


def test_worth_of_purchase_days_follows_the_rules(built: dict[str, Built]) -> None:
    shop = built["versions"]
    found = rows_of(
        shop.paths,
        "select customer_id, purchased_on, value_at_stake, margin_at_stake,"
        " expected_value_at_stake from intermediate.int_purchase_days",
    )
    expected = [
        (life.customer, day, *astuple(life.worth_on(day)))
        for life in shop.reference.buyers
        for day in life.bought
    ]
    assert differences(found, expected) == ([], [])


@pytest.mark.parametrize("world", WORLDS)
def test_what_the_models_assert_about_themselves_holds(built: dict[str, Built], world: str) -> None:
    variables = WORLDS[world].variables(built[world].paths)
    warehouse = built[world].paths.warehouse
    run_dbt(warehouse, "test", "--exclude-resource-type", "unit_test", variables=variables)


@pytest.mark.parametrize(("world", "days_before"), [("purchases", 64), ("versions", 100)])
def test_a_run_as_of_a_past_day_gives_the_history(
    built: dict[str, Built], world: str, days_before: int, tmp_path: Path
) -> None:
    shop, as_of = built[world], WORLDS[world].as_of - days_before * ONE_DAY
    copy = Path(shutil.copy(shop.paths.warehouse, tmp_path))
    variables = WORLDS[world].variables(shop.paths) | {"as_of_date": as_of.isoformat()}
    steps = "--select", "+customers", "--exclude", "int_customer_days", "path:models/staging"
    run_dbt(copy, "run", *steps, variables=variables)
    with duckdb.connect(str(copy), read_only=True) as connection:
        found = connection.execute(
            "select customer_id, rule_id, loyalty_rule_id, contact_rule_id from marts.customers"
        ).fetchall()
    held = defaultdict(dict)
    for customer, axis, _, rule, valid_from, valid_to, *_ in rows_of(
        shop.paths, "from marts.customer_stage_history"
    ):
        if valid_from <= as_of <= valid_to:
            held[customer][axis] = rule
    expected = [(customer, *(rules[axis] for axis in AXES)) for customer, rules in held.items()]
    assert differences(found, expected) == ([], [])


@pytest.mark.parametrize("world", WORLDS)
def test_candidates_follow_the_rules(built: dict[str, Built], world: str) -> None:
    query = "select rank, customer_id from marts.winback_candidates order by rank"
    assert rows_of(built[world].paths, query) == built[world].reference.winback_candidates()


def test_every_rule_and_every_kind_of_alert_occurs(built: dict[str, Built]) -> None:
    """Else the shops are too simple to tell a wrong rule from a right one."""
    rules, kinds, outcomes, segments, alarming = set(), set(), set(), set(), set()
    groups, moves = set(), set()
    for shop in built.values():
        reference = shop.reference
        rules |= {row[3] for row in reference.history}
        alerts = reference.alerts()
        kinds |= {row[1] for row in alerts}
        outcomes |= {row[-1] for row in alerts}
        segments |= {row[2] for row in reference.churn_rates()}
        alarming |= {kind for kind, _ in reference.alarming}
        groups |= {row[-1] for row in reference.customer_rfm()}
        moves |= {row[1:3] for row in reference.value_tier_movements()}
    assert groups == {row["rfm_group"] for row in RFM_GROUPS.values()}
    assert moves == {
        (before, after)
        for before in ("none", "high", "middle", "low")
        for after in ("high", "middle", "low")
    }
    assert rules == set(RULES)
    assert kinds == set(KINDS)
    assert outcomes == {"open", "lost", "recovered"}
    assert segments == {"all", "value_tier", "acquisition_year", "acquisition_source", "region"}
    assert len(alarming) > 1


# Scores and tiers

# https://www.putler.com/rfm-analysis; ten of them are also the example of rfm_segment in the R
# package rfm 0.2.0. First and last recency score, first and last average of the other two.
PUTLER = {
    "champions": (4, 5, 4, 5),
    "loyal_customers": (2, 5, 3, 5),
    "potential_loyalists": (3, 5, 1, 3),
    "new_customers": (4, 5, 1, 1),
    "promising": (3, 4, 1, 1),
    "needing_attention": (2, 3, 2, 3),
    "about_to_sleep": (2, 3, 1, 2),
    "at_risk": (1, 2, 2, 5),
    "cannot_lose": (1, 1, 4, 5),
    "hibernating": (1, 2, 1, 2),
    "lost": (1, 2, 1, 2),
}


def test_rfm_groups_are_total_exclusive_and_within_the_published_ranges() -> None:
    cells = Counter((int(row["recency_score"]), int(row["fm_score"])) for row in seed("rfm_groups"))
    assert cells == Counter(product(range(1, 6), repeat=2))
    assert {row["rfm_group"] for row in RFM_GROUPS.values()} == PUTLER.keys()
    for (recency, together), row in RFM_GROUPS.items():
        first, last, lowest, highest = PUTLER[row["rfm_group"]]
        assert first <= recency <= last, row
        assert lowest <= together <= highest, row


def test_equal_buyers_are_scored_alike_whatever_the_order_of_rows(tmp_path: Path) -> None:
    world = World(date(2024, 12, 31), (Definition("fixed", 90),))
    events = random_events(world, 100)
    day = world.as_of - 40 * ONE_DAY
    equal = [Line(f"equal {n}", day, "sale", Decimal("9.99"), 1) for n in range(1000)]
    lines, shuffled = [*equal, *events.lines], [*events.lines, *equal]
    Random(1).shuffle(shuffled)
    paths = make_shop(tmp_path, world)
    tables = "customers", "customer_rfm", "customer_values", "tier_versions", "value_tier_movements"
    steps = "--select", *(f"+{table}" for table in tables), "--exclude-resource-type", "test"
    found = []
    for batch, ordered in (("1", lines), ("2", shuffled)):
        deliver(paths, "lines.csv", ordered)
        load(paths, batch)
        arguments = "build", *steps, "unit_test"
        run_dbt(paths.warehouse, *arguments, variables=world.variables(paths))
        found.append([rows_of(paths, f"from marts.{table} order by all") for table in tables])
    assert found[0] == found[1]
    same = "select distinct {} from marts.{} where customer_id like 'equal %'"
    assert len(rows_of(paths, same.format("value_tier", "customers"))) == 1
    assert len(rows_of(paths, same.format("rfm_code, rfm_group", "customer_rfm"))) == 1


# Histories of random events


def is_whole(intervals: list[tuple[date, date, str]], first: date, last: date) -> bool:
    """Return whether intervals cover all days without overlap, no two in a row by one rule."""
    intervals = sorted(intervals)
    joined = all(
        before[1] + ONE_DAY == after[0] and before[2] != after[2]
        for before, after in pairwise(intervals)
    )
    forward = all(valid_from <= valid_to for valid_from, valid_to, _ in intervals)
    return joined and forward and (intervals[0][0], intervals[-1][1]) == (first, last)


EVENT = st.tuples(
    st.integers(-2, 300),
    st.sampled_from(
        ["sale", "sale", "sale", "return", "postage", "visit", "referral", "message_sent", "record"]
    ),
)


@pytest.mark.parametrize(
    ("basis", "definition"),
    [
        ("purchase", Definition("fixed", 31)),
        ("interaction", Definition("cadence", 60)),
        ("both", Definition("season", 60, seasons=("12-01..01-15",))),
    ],
)
@settings(
    max_examples=1,
    # One build takes seconds: few shops, always the same ones, and no search for a smaller one.
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(histories=st.lists(st.lists(EVENT, min_size=1, max_size=12), min_size=150, max_size=200))
def test_every_history_is_whole(
    basis: str,
    definition: Definition,
    histories: list[list[tuple[int, str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The first example is the simplest one.
    assume(len({kind for history in histories for _, kind in history}) > 5)
    world = World(date(2024, 12, 31), (definition,), basis=basis)
    events = Events([], [], [])
    for number, history in enumerate(histories):
        for days, kind in history:
            customer, day = f"c{number}", world.as_of - days * ONE_DAY
            if kind == "record":
                events.members.append(Member(customer, day if days % 3 else None, None, None))
            elif kind in ("sale", "return", "postage"):
                amount = Decimal(days % 5) * (1 if kind == "sale" else -1)
                events.lines.append(Line(customer, day, kind, amount, 1))
            else:
                events.contacts.append(Contact(customer, day, kind))
    paths = make_shop(tmp_path_factory.mktemp("events"), world)
    build(
        paths,
        world,
        events,
        "build",
        "--select",
        "+customer_stage_history",
        "stage_rules",
        "--exclude-resource-type",
        "test",
        "unit_test",
    )
    found = defaultdict(list)
    for customer, axis, *interval in rows_of(
        paths,
        "select customer_id, axis, valid_from, valid_to, rule_id from marts.customer_stage_history",
    ):
        found[customer, axis].append(tuple(interval))
    lives = Reference(world, events).lives
    assert found.keys() == {(name, axis) for name in lives for axis in AXES}
    for (customer, axis), intervals in found.items():
        assert is_whole(intervals, lives[customer].history_starts, world.as_of), (customer, axis)


# Incremental builds


def test_incremental_equals_full(tmp_path: Path) -> None:
    world = World(date(2024, 12, 31), (Definition("fixed", 90),))
    paths = make_shop(tmp_path, world)
    days = [date(2024, 12, number) for number in range(1, 11)]

    def line(customer: str, day: int, kind: str = "sale", amount: str = "5.00") -> Line:
        return Line(customer, days[day], kind, Decimal(amount))

    deliver(paths, "history.csv", random_events(world, 50).lines)
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
    run_dbt(paths.warehouse, "seed", variables=world.variables(paths))
    run_dbt(paths.warehouse, "run", variables=world.variables(paths))
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
    run_dbt(paths.warehouse, "run", variables=world.variables(paths))
    tables = ["intermediate.int_customer_days", *(f"marts.{table}" for table in MARTS)]
    incremental = {table: rows_of(paths, f"from {table} order by all") for table in tables}
    run_dbt(paths.warehouse, "run", "--full-refresh", variables=world.variables(paths))
    for table in tables:
        assert rows_of(paths, f"from {table} order by all") == incremental[table], table

    days_now = {(row[0], row[1]): row for row in incremental["intermediate.int_customer_days"]}
    removed = {row[:2] for row in before} - set(days_now)
    assert removed == {("b", days[2]), ("a", days[4]), ("b", days[5])}
    sale_line_count, net_revenue = 2, 8
    assert days_now["a", days[3]][sale_line_count] == 0
    assert days_now["a", days[3]][net_revenue] == Decimal("-5.00")
    assert days_now["a", days[9]][sale_line_count] == 2
    assert days_now["a", days[9]][net_revenue] == Decimal("10.00")
