"""A made-up shop of four years, for what takes long to show: tenure, powers, drivers.

The first channel, the first basket and a second purchase within 30 days have to do with what comes
later, and where customers came from has not.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from random import Random

from support.shop import run_dbt

from dagster_project.config.sources import load_source
from dagster_project.loading.loader import load_table, prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

AS_OF = date(2025, 12, 31)
FIRST_DAY = date(2022, 1, 1)
ONE_DAY = timedelta(days=1)
SOURCE = """
description: A made-up shop
kind: finished
first_day: 2022-01-01
last_day: 2026-12-31
currency: EUR
time_zone: Europe/Berlin
margin_rate: 0.3
churn_definition: {method: fixed, lost_days: 90}
tables:
  transactions:
    files: lines.csv
    date_format: "%Y-%m-%d"
    columns:
      customer_id: customer
      ordered_at: day
      amount: amount
      discount_amount: discount
      category: category
      channel: channel
  customers:
    files: members.csv
    columns: {customer_id: customer, acquisition_source: came_by}
  interactions:
    files: interactions.csv
    date_format: "%Y-%m-%d"
    columns: {customer_id: customer, occurred_at: day, interaction_type: kind, score: score}
"""
LINE = ("customer", "day", "amount", "discount", "category", "channel")
CONTACT = ("customer", "day", "kind", "score")
MODELS = ("spend_comparisons", "customer_powers", "driver_correlations")


@dataclass
class Customer:
    """All that is known of a customer, with days counted from the first purchase."""

    name: str
    came_by: str | None
    # day of tenure, amount, discount, category, channel
    lines: list[tuple[int, float, float, str, str]] = field(default_factory=list)
    # day of tenure, kind, score
    contacts: list[tuple[int, str, int | None]] = field(default_factory=list)
    first_day: date = FIRST_DAY

    @property
    def tenure(self) -> int:
        return (AS_OF - self.first_day).days

    @cached_property
    def days(self) -> list[int]:
        """Return the days of purchases, of which returns are none."""
        return sorted({line[0] for line in self.lines if line[0] <= self.tenure and line[1] >= 0})

    def spent(self, first: int, last: int) -> float:
        last = min(last, self.tenure)
        return sum(round(100 * line[1]) for line in self.lines if first <= line[0] <= last) / 100

    def seen(self) -> list[tuple[int, str, int | None]]:
        return [one for one in self.contacts if one[0] <= self.tenure]

    def recent(self) -> list[tuple[int, str, int | None]]:
        return [one for one in self.seen() if one[0] > self.tenure - 365]


def make_customers(count: int) -> list[Customer]:
    random, found = Random(4), []
    for number in range(count):
        customer = Customer(f"c{number}", random.choice(["web", "web", "partner", "fair", None]))
        customer.first_day = FIRST_DAY + random.randrange(1450) * ONE_DAY
        channel = random.choice(["store", "store", "web"])
        category = random.choice(["tea", "tea", "coffee", f"rare {number % 40}"])
        basket = random.randrange(1, 40)
        discount = random.choice([0, 0, basket / 4])
        customer.lines = [
            (0, basket, discount, category, channel),
            (0, basket / 2, 0, "cup", "fax"),
        ]
        loyalty = random.random() + (channel == "web") + basket / 40
        # Some stay for years.
        chance = 0.99 if random.random() < 0.25 else loyalty / 4 + 0.1
        day = 0
        while random.random() < chance:
            day += random.choice([9, 30, 31, 60, 90, 91, 180])
            customer.lines.append((day, random.randrange(100, 5000) / 100, 0, "tea", channel))
        if random.random() < 0.2:
            customer.lines.append((random.choice([31, 365, 366, 700]), -5.0, 0, "tea", channel))
        for _ in range(random.choice([0, 0, 1, 3, 9])):
            kind = random.choice(["visit", "visit", "message_sent", "message_opened", "referral"])
            customer.contacts.append((random.choice([0, 5, 30, 31, 300, 900]), kind, None))
        if random.random() < 0.1:
            customer.contacts.append((random.randrange(90), "survey", random.randrange(11)))
            customer.contacts.append((random.randrange(90), "review", None))
        found.append(customer)
    return found


def write(file: Path, header: Iterable[str], rows: Iterable[tuple]) -> None:
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


def run_models(paths: SourcePaths, *arguments: str) -> None:
    days = {"as_of_date": AS_OF.isoformat(), "first_day": FIRST_DAY.isoformat()}
    variables = load_source(paths).model_settings() | days
    run_dbt(paths.warehouse, *arguments, variables=variables)


@dataclass(frozen=True)
class FourYears:
    paths: SourcePaths
    customers: list[Customer]

    def rows(self, query: str) -> list[dict]:
        with connect(self.paths, read_only=True) as connection:
            relation = connection.execute(query)
            names = [column[0] for column in relation.description]
            return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def make_four_years(paths: SourcePaths, customers: list[Customer]) -> None:
    """Bring the customers into a warehouse and the models that look at them after."""
    paths.landing.mkdir(parents=True)
    (paths.data_dir / "sources").mkdir()
    (paths.data_dir / "sources" / "shop.yml").write_text(SOURCE)
    write(
        paths.landing / "lines.csv",
        LINE,
        (
            (one.name, one.first_day + line[0] * ONE_DAY, *line[1:])
            for one in customers
            for line in one.lines
        ),
    )
    write(
        paths.landing / "interactions.csv",
        CONTACT,
        (
            (one.name, one.first_day + contact[0] * ONE_DAY, *contact[1:])
            for one in customers
            for contact in one.contacts
        ),
    )
    members = [(one.name, one.came_by) for one in customers]
    write(paths.landing / "members.csv", ("customer", "came_by"), members)
    with connect(paths) as connection:
        prepare_raw(connection)
        for table in ("transactions", "customers", "interactions"):
            load_table(connection, load_source(paths), paths, table, batch_id="1")
    run_models(paths, "build", "--select", *(f"+{model}" for model in MODELS), "stage_rules",
               "--exclude-resource-type", "test", "unit_test")  # fmt: skip
