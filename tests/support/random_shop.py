"""A made-up shop of random customers for the models: its settings, what happened, its files.

What the tables should hold is not said here: tests/models/reference reads the rules.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from support.shop import run_dbt

from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.scores import score_tables
from dagster_project.warehouse import connect

ONE_DAY = timedelta(days=1)

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
    def worth(self) -> Decimal:
        """What it adds to revenue: a return lowers it, whatever sign the file gives it."""
        return -abs(self.amount) if self.kind == "return" else self.amount

    @property
    def margin(self) -> Fraction:
        if not self.is_used:
            return Fraction(0)
        if self.cost is None:
            return Fraction(self.worth) * Fraction(3, 10)
        return Fraction(self.worth - self.cost)

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


@dataclass(frozen=True)
class Tiers:
    """A version of the value tiers."""

    measure: str = "revenue"
    method: str = "share"
    high: str = "0.20"
    medium: str = "0.50"
    valid_from: date = date.min

    def declared(self) -> dict[str, Any]:
        """Return it as it stands in a source's file."""
        entry = {"measure": self.measure, "method": self.method}
        entry |= {"high": float(self.high), "medium": float(self.medium)}
        if self.valid_from > date.min:
            entry["valid_from"] = self.valid_from.isoformat()
        return entry


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
                    "minimum_alert_lift": self.lift,
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
        score_tables.create_tables(connection)
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
                # Some returns are given as positive amounts.
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
