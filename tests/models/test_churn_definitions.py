"""Thresholds estimated from gaps, against lifelines and against the formula in plain Python.

The gaps are worked out here from the packages' own files, without the loader and without SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import fsum

import pytest
from lifelines import KaplanMeierFitter
from support.purchase_logs import READERS
from support.shop import run_dbt

from dagster_project.config.sources import load_source
from dagster_project.loading.loader import load_table, prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

GROUPS = ("first_time", "repeat")
TOLERANCE = 1e-9
ONE_DAY = timedelta(days=1)

# Customers with their purchase days in order, and gaps as customer, days and whether it is closed.
Purchases = dict[str, list[date]]
Gap = tuple[str, int, bool]


@dataclass(frozen=True)
class Estimated:
    """A source's purchases, and the warehouse with what the models estimate from them."""

    paths: SourcePaths
    bought: Purchases

    def rows(self, query: str) -> list[tuple]:
        with connect(self.paths, read_only=True) as connection:
            return connection.execute(query).fetchall()

    def cutoffs(self) -> list[date]:
        """Return the as-of date, and the months' firsts that the definition of the test names."""
        source = load_source(self.paths)
        first, last = source.first_day, source.last_day
        month, found = first.replace(day=1), []
        while month + 90 * ONE_DAY <= last:
            if month >= first + 180 * ONE_DAY:
                found.append(month)
            month = (month + 31 * ONE_DAY).replace(day=1)
        return [*found, last]

    def gaps(self, cutoff: date) -> dict[str, list[Gap]]:
        """Return what a cutoff has seen of the gaps, by buyer group."""
        gaps: dict[str, list[Gap]] = {group: [] for group in GROUPS}
        for customer, days in self.bought.items():
            seen = [day for day in days if day <= cutoff]
            for number, (start, end) in enumerate(pairwise([*seen, None])):
                length = ((end or cutoff) - start).days
                gaps[GROUPS[number > 0]].append((customer, length, end is not None))
        return gaps


@pytest.fixture(scope="module", params=READERS)
def estimated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Estimated:
    paths = SourcePaths(tmp_path_factory.mktemp(request.param), request.param)
    source = load_source(paths)
    with connect(paths) as connection:
        prepare_raw(connection)
        load_table(connection, source, paths, "transactions", batch_id="1")
    days = {"as_of_date": str(source.last_day), "first_day": str(source.first_day)}
    variables = source.model_settings() | days
    run_dbt(paths.warehouse, "run", "--select", "+int_churn_thresholds", variables=variables)
    bought = {customer: list(days) for customer, days in READERS[request.param]().items()}
    return Estimated(paths, bought)


def on_every_day(steps: Iterable[tuple[int, float]], last: int) -> list[float]:
    """Return a step function's value on each day from 0 on."""
    changes, value, values = dict(steps), 1.0, []
    for day in range(last + 1):
        value = changes.get(day, value)
        values.append(value)
    return values


def weighted_survival(gaps: list[Gap]) -> list[float]:
    """Return the share still silent on each day, each customer's gaps weighing 1 together."""
    gap_count = Counter(customer for customer, _, _ in gaps)
    leaving, events = defaultdict(list), defaultdict(list)
    for customer, length, is_closed in gaps:
        weight = 1 / gap_count[customer]
        leaving[length].append(weight)
        if is_closed:
            events[length].append(weight)
    at_risk, silent, values = fsum(1 / gap_count[customer] for customer, _, _ in gaps), 1.0, []
    for day in range(max(leaving) + 1):
        if events[day]:
            silent *= 1 - fsum(events[day]) / at_risk
        at_risk -= fsum(leaving[day])
        values.append(silent)
    return values


def survival_days(gaps: list[Gap], quantile: float, lost_days: int) -> int:
    """Return the smallest t with 1 - S(t) >= q (1 - S(h)), or the fixed days if gaps are few."""
    if len(gaps) < 50 or sum(is_closed for _, _, is_closed in gaps) < 20:
        return lost_days
    lengths = sorted((length for _, length, _ in gaps), reverse=True)
    horizon = min(365, lengths[49])
    silent = weighted_survival(gaps)
    enough = quantile * (1 - silent[horizon]) - TOLERANCE
    return next(day for day, share in enumerate(silent) if 1 - share >= enough)


def percentile_days(gaps: list[Gap], hundredths: int, lost_days: int) -> int:
    """Return the length that a percentile of the closed gaps does not exceed."""
    closed = sorted(length for _, length, is_closed in gaps if is_closed)
    if len(closed) < 20:
        return lost_days
    return closed[-(-hundredths * len(closed) // 100) - 1]


def test_unweighted_estimates_are_those_of_lifelines_to_the_day(estimated: Estimated) -> None:
    cutoffs = estimated.cutoffs()
    for cutoff in (cutoffs[0], cutoffs[-1]):
        for group, gaps in estimated.gaps(cutoff).items():
            lengths, closed = [gap[1] for gap in gaps], [gap[2] for gap in gaps]
            last = max(lengths)
            fitter = KaplanMeierFitter().fit(lengths, closed)
            expected = fitter.survival_function_at_times(range(last + 1))
            steps = estimated.rows(
                "select gap_days, unweighted_silent_rate from intermediate.int_gap_survival "
                f"where cutoff_on = '{cutoff}' and buyer_group = '{group}'"
            )
            assert max(day for day, _ in steps) == last
            found = on_every_day(steps, last)
            furthest = max(abs(a - b) for a, b in zip(found, expected, strict=True))
            assert furthest < TOLERANCE, (cutoff, group)


def test_weighted_estimates_are_those_of_the_formula(estimated: Estimated) -> None:
    cutoffs = estimated.cutoffs()
    for cutoff in (cutoffs[0], cutoffs[-1]):
        for group, gaps in estimated.gaps(cutoff).items():
            expected = weighted_survival(gaps)
            steps = estimated.rows(
                "select gap_days, silent_rate from intermediate.int_gap_survival "
                f"where cutoff_on = '{cutoff}' and buyer_group = '{group}'"
            )
            found = on_every_day(steps, len(expected) - 1)
            furthest = max(abs(a - b) for a, b in zip(found, expected, strict=True))
            assert furthest < TOLERANCE, (cutoff, group)


def test_thresholds_are_those_of_the_formula_at_every_cutoff(estimated: Estimated) -> None:
    lost_days = load_source(estimated.paths).churn_definitions[-1].lost_days
    expected = {}
    for cutoff in estimated.cutoffs():
        gaps = estimated.gaps(cutoff)
        for hundredths in (80, 90):
            days = (survival_days(gaps[group], hundredths / 100, lost_days) for group in GROUPS)
            expected[f"survival_{hundredths}", cutoff] = tuple(days)
        both = percentile_days([*gaps["first_time"], *gaps["repeat"]], 80, lost_days)
        expected["gap_percentile_80", cutoff] = (both, both)
    found = estimated.rows(
        "select definition_id, cutoff_on, first_time_days, repeat_days "
        "from intermediate.int_churn_thresholds where method in ('survival', 'gap_percentile')"
    )
    assert {row[:2]: row[2:] for row in found} == expected
    # The estimates, and not only what stands in for them.
    assert len(set(expected.values())) > 3


def test_the_raw_percentile_is_shorter_than_the_survival_estimate(estimated: Estimated) -> None:
    """Open gaps are the longer ones; leaving them out biases the percentile short."""
    ((percentile, first_time),) = estimated.rows(
        "select max(first_time_days) filter (definition_id = 'gap_percentile_80'), "
        "max(first_time_days) filter (definition_id = 'survival_80') "
        "from intermediate.int_churn_thresholds "
        "where cutoff_on = (select max(cutoff_on) from intermediate.int_churn_thresholds)"
    )
    assert percentile < first_time
