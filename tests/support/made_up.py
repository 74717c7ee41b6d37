"""Made-up buyers, as snapshots and as the warehouse that the models would hand over."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from dagster_project.scores.snapshot import Snapshot

AS_OF = date(2024, 12, 31)
HORIZONS, STEPS = (30, 90, 365), (1, 2, 3)
# Near those of the CDNOW sample, in weeks.
MBG = (0.525, 6.183, 0.891, 1.614)
ORDER_VALUES = (6.25, 3.74, 15.44)


def snapshot(count: int = 600, returned: float = 0.3) -> Snapshot:
    rng = np.random.default_rng(2)
    return Snapshot(
        repeat_count=rng.integers(0, 4, count),
        days_to_last=np.zeros(count, int),
        days_observed=rng.integers(1, 300, count),
        value_tier=rng.integers(0, 3, count),
        group_number=rng.integers(0, 500, count),
        last_period_count=rng.integers(0, 2, count),
        next_period_count=(rng.random(count) < returned).astype(int),
    )


def past(counts: dict[int, int]) -> dict[tuple[int, int], tuple[date, Snapshot]]:
    """Return three cutoffs a horizon, after whose k-th everybody bought k times so many days."""
    return {
        (horizon, step): (
            AS_OF - timedelta(days=horizon * step),
            replace(snapshot(), next_period_count=np.full(600, count * step)),
        )
        for horizon, count in counts.items()
        for step in STEPS
    }


@dataclass(frozen=True)
class Customer:
    """A made-up buyer: purchase days with their sales."""

    customer_id: str
    purchases: tuple[tuple[date, float], ...]


def drawn(
    count: int, seed: int, days: int = 720, parameters: Sequence[float] = MBG
) -> Iterator[Customer]:
    """Draw customers of an MBG/NBD process, event by event, in whole days."""
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    p, q, gamma = ORDER_VALUES
    for number in range(count):
        day = AS_OF - timedelta(days=int(rng.integers(0, days)))
        rate, chance = rng.gamma(r, 1 / alpha), rng.beta(a, b)
        scale = rng.gamma(q, 1 / gamma)
        purchases, time = {}, 0.0
        while time * 7 < (AS_OF - day).days + 1:
            on = day + timedelta(days=math.floor(time * 7))
            purchases[on] = purchases.get(on, 0) + round(rng.gamma(p, 1 / scale), 2)
            if rng.random() < chance:
                break
            time += rng.exponential(1 / rate)
        yield Customer(f"C{number:06}", tuple(sorted(purchases.items())))


def write_warehouse(file: Path, customers: Sequence[Customer], as_of: date = AS_OF) -> None:
    """Write what the models would hand over, computed here from the purchases."""
    tests, histories, sales = [], [], 0.0
    for number, customer in enumerate(customers):
        days = [day for day, _ in customer.purchases]
        sales += sum(amount for _, amount in customer.purchases)
        group = int(customer.customer_id[1:]) % 500
        tier = ("high", "low")[number % 2]
        for horizon in HORIZONS:
            for step in STEPS:
                cutoff = as_of - timedelta(days=horizon * step)
                known = [day for day in days if day <= cutoff]
                if not known:
                    continue
                since = cutoff - timedelta(days=horizon)
                until = cutoff + timedelta(days=horizon)
                tests.append(
                    (
                        horizon, step, cutoff, customer.customer_id, group, len(known) - 1,
                        (known[-1] - days[0]).days, (cutoff - days[0]).days, tier,
                        sum(since < day for day in known),
                        sum(cutoff < day <= until for day in days),
                    )
                )  # fmt: skip
        histories.append(
            (
                customer.customer_id, len(days) - 1, (days[-1] - days[0]).days,
                (as_of - days[0]).days, sum(amount for _, amount in customer.purchases[1:]),
                days[0].replace(day=1), tier, "new", group,
            )
        )  # fmt: skip
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema intermediate")
        connection.execute(
            "create table intermediate.int_score_tests (horizon_days integer, step integer, "
            "cutoff_on date, customer_id varchar, group_number integer, repeat_count integer, "
            "days_to_last integer, days_observed integer, value_tier varchar, "
            "last_period_count integer, next_period_count integer)"
        )
        connection.execute(
            "create table intermediate.int_purchase_histories (customer_id varchar, "
            "repeat_count integer, days_to_last integer, days_observed integer, "
            "repeat_net_revenue decimal(18, 2), acquisition_month date, value_tier varchar, "
            "lifecycle_stage varchar, group_number integer)"
        )
        connection.execute(
            "create table intermediate.int_customer_days as select $1::date as ordered_on, days.* "
            "from (values (1, $2::decimal(18, 2), $2::decimal(18, 2) / 4), "
            # What is returned on a day without a sale is no purchase day's revenue.
            "(0, -$2::decimal(18, 2) / 2, 0)) as days(sale_line_count, net_revenue, margin)",
            [as_of, sales],
        )
        for table, rows in (("int_score_tests", tests), ("int_purchase_histories", histories)):
            if rows:
                columns = zip(*rows, strict=True)
                arrow = pa.table({f"c{n}": list(column) for n, column in enumerate(columns)})
                connection.register("new_rows", arrow)
                connection.execute(f"insert into intermediate.{table} from new_rows")


def customers(count: int = 400, seed: int = 3, *, next_period: list[int] | None = None) -> Snapshot:
    """Return customers of a made-up day, a third of them with equal histories."""
    dice = random.Random(seed)
    observed = [dice.randrange(0, 500) for _ in range(count)]
    to_last = [dice.randrange(0, days + 1) for days in observed]
    repeats = [dice.choice((0, 0, 1, 2, 5, 12)) if last else 0 for last in to_last]
    to_last = [last if repeat else 0 for last, repeat in zip(to_last, repeats, strict=True)]
    tier = [dice.choice((0, 0, 1, 1, 1, 2)) for _ in range(count)]
    following = next_period or [
        dice.choice((0, 0, 0, 1, 3)) if days - last < 150 else 0
        for days, last in zip(observed, to_last, strict=True)
    ]
    return Snapshot(
        repeat_count=np.array(repeats),
        days_to_last=np.array(to_last),
        days_observed=np.array(observed),
        value_tier=np.array(tier),
        group_number=np.array([dice.randrange(100) for _ in range(count)]),
        last_period_count=np.array([dice.choice((0, 1, 2)) for _ in range(count)]),
        next_period_count=np.array(following),
    )
