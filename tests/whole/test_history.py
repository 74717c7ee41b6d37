"""The history of real data: what it says of a past day is what a run as of that day says.

And the boundary of a loss, to the day, in time zones on either side of UTC.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from support.shop import start_dbt

from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

pytestmark = pytest.mark.timeout(900)
AXES = {
    "lifecycle_stage": ("lifecycle_stage", "lifecycle_rule_id"),
    "loyalty_stage": ("loyalty_stage", "loyalty_rule_id"),
    "contact_stage": ("contact_stage", "contact_rule_id"),
}
# A replay takes seconds, so a run of all tests does few. WINBACK_REPLAY_DATES=20 does more.
REPLAY_DATES = int(os.environ.get("WINBACK_REPLAY_DATES", "2"))
# Alerts prove themselves on none of these sources. This low a bar makes those of a grocer alarming,
# so that what had been learnt of alerts by a past day is replayed too.
OVERRIDES = {"completejourney": {"minimum_alert_lift": "0.10"}}
# The steps that no as-of date changes.
AS_LOADED = ("--exclude", "int_customer_days", "path:models/staging", "resource_type:seed")

Rows = list[tuple]


@dataclass(frozen=True)
class Warehouse:
    """A loaded source, and dbt in this process, which reads the project only once."""

    paths: SourcePaths
    dbt: Callable[..., None]

    def rows(self, query: str) -> Rows:
        with connect(self.paths, read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module", params=["cdnow_sample", "completejourney", "online_retail"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    name = request.param
    paths = SourcePaths(tmp_path_factory.mktemp(name), name)
    with pytest.MonkeyPatch.context() as patch:
        if name == "online_retail":
            file = request.getfixturevalue("shared_data") / "online_retail_2010_2011.parquet"
            patch.setenv("ONLINE_RETAIL_FILES", str(file))
        source = load_source(paths)
        with connect(paths) as connection:
            prepare_raw(connection)
            for table in source.tables:
                load_table(connection, source, paths, table, batch_id="1")
        settings = source.model_settings() | OVERRIDES.get(name, {})
        settings["first_day"] = source.first_day.isoformat()
        dbt = start_dbt(paths.warehouse, settings)
        selected = "+customer_stage_history", "+customers", "+lifecycle_flow", "stage_rules"
        selected += ("value_tier_movements",)
        no_tests = "--exclude-resource-type", "test", "unit_test"
        dbt("build", source.last_day, "--select", *selected, *no_tests)
        yield Warehouse(paths, dbt)


def movements_of(warehouse: Warehouse) -> Rows:
    return warehouse.rows("select * from marts.value_tier_movements order by all")


def history_of(warehouse: Warehouse) -> dict[str, Rows]:
    """Return customer, first day, last day, stage and rule of every interval, by axis."""
    history = defaultdict(list)
    for axis, *row in warehouse.rows(
        "select axis, customer_id, valid_from, valid_to, stage, rule_id "
        "from marts.customer_stage_history order by all"
    ):
        history[axis].append(tuple(row))
    return history


def test_history_is_whole_and_replays_give_the_same(warehouse: Warehouse) -> None:
    source = load_source(warehouse.paths)
    history = history_of(warehouse)
    starts = dict(
        warehouse.rows(
            "select customer_id, history_starts_on from intermediate.int_known_customers"
        )
    )
    assert history.keys() == AXES.keys()
    rules = {row[4] for row in history["lifecycle_stage"]}
    assert ("alarm_by_alert" in rules) == (warehouse.paths.source in OVERRIDES)
    for axis, rows in history.items():
        check_whole(axis, rows, starts, source.last_day)

    movements = movements_of(warehouse)
    dice = Random(20)
    length = (source.last_day - source.first_day).days
    dates = [source.first_day + timedelta(days=number) for number in dice.sample(range(length), 20)]
    for as_of in dates[:REPLAY_DATES]:
        selected = "+customers", "value_tier_movements"
        warehouse.dbt("run", as_of, "--select", *selected, *AS_LOADED)
        # All buyers are sampled, so what the movements of a past month were then they are now.
        then, now = (
            [row for row in rows if row[0] < as_of.replace(day=1)]
            for rows in (movements_of(warehouse), movements)
        )
        assert different(then, now) == [], as_of
        for axis, (stage, rule) in AXES.items():
            query = f"select customer_id, {stage}, {rule} from marts.customers order by all"
            expected = [
                (customer, *stage_and_rule)
                for customer, valid_from, valid_to, *stage_and_rule in history[axis]
                if valid_from <= as_of <= valid_to
            ]
            assert different(warehouse.rows(query), expected) == [], (axis, as_of)


def different(one: Rows, other: Rows) -> Rows:
    """Return some rows that only one side has."""
    assert len(one) == len(set(one))
    assert len(other) == len(set(other))
    return sorted(set(one) ^ set(other))[:6]


def check_whole(axis: str, rows: Rows, starts: dict[str, date], last_day: date) -> None:
    """Check that intervals have neither gap nor overlap from the first known day to the last."""
    for before, after in pairwise(rows):
        if before[0] == after[0]:
            assert before[2] + timedelta(days=1) == after[1], (axis, before, after)
            assert before[4] != after[4], (axis, before, after)
    assert all(row[1] <= row[2] for row in rows), axis
    assert {row[0]: row[1] for row in reversed(rows)} == starts, axis
    assert {row[0]: row[2] for row in rows} == dict.fromkeys(starts, last_day), axis


def test_whoever_was_active_returns_or_is_dormant(warehouse: Warehouse) -> None:
    flow = warehouse.rows(
        "select month, active_customer_count, returning_customer_count, dormant_customer_count "
        "from marts.lifecycle_flow order by month"
    )
    assert len(flow) >= 12
    for before, after in pairwise(flow):
        assert after[2] + after[3] == before[1], after[0]


BOUNDARY = """
description: A restaurant
kind: finished
first_day: 2024-02-01
last_day: 2024-04-30
industry: restaurant
currency: USD
time_zone: {zone}
margin_rate: 0.3
tables:
  transactions:
    files: "*.csv"
    time_zone: UTC
    columns: {{customer_id: customer, ordered_at: time, amount: amount}}
"""
# Half an hour before midnight of day 0 and half an hour after it, in UTC.
DAY_0 = date(2024, 2, 29)
MIDNIGHTS = {
    "America/New_York": ("2024-03-01 04:30:00", "2024-03-01 05:30:00"),
    "Asia/Shanghai": ("2024-02-29 15:30:00", "2024-02-29 16:30:00"),
}


@pytest.mark.parametrize("zone", MIDNIGHTS)
def test_a_customer_is_lost_on_the_day_after_the_last_allowed_one(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = SourcePaths(tmp_path, "restaurant")
    paths.landing.mkdir(parents=True)
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "restaurant.yml").write_text(BOUNDARY.format(zone=zone))
    before, after = MIDNIGHTS[zone]
    (paths.landing / "orders.csv").write_text(
        f"customer,time,amount\nbefore,{before},10.00\nafter,{after},10.00\n"
    )
    source = load_source(paths)
    with connect(paths) as connection:
        prepare_raw(connection)
        load_table(connection, source, paths, "transactions", batch_id="1")
    settings = source.model_settings() | {"first_day": source.first_day.isoformat()}
    dbt = start_dbt(paths.warehouse, settings)
    no_tests = "--exclude-resource-type", "test", "unit_test"
    warehouse, found = Warehouse(paths, dbt), {}
    for number in (30, 31):
        dbt("build", DAY_0 + timedelta(days=number), "--select", "+customers", *no_tests)
        for customer, *row in warehouse.rows(
            "select customer_id, last_purchase_on, days_since_last_purchase, lifecycle_stage, "
            "lost_on, days_until_lost from marts.customers"
        ):
            found[customer, number] = tuple(row)
    day_1, day_31 = DAY_0 + timedelta(days=1), DAY_0 + timedelta(days=31)
    assert found == {
        ("before", 30): (DAY_0, 30, "alarm", None, 1),
        ("before", 31): (DAY_0, 31, "lost", day_31, None),
        ("after", 30): (day_1, 29, "alarm", None, 2),
        ("after", 31): (day_1, 30, "alarm", None, 1),
    }
