"""What customers spend, can do and are driven by, against plain Python and scipy.

A made-up shop of four years in which the first channel, the first basket and a second purchase
within 30 days have to do with what comes later, and where customers came from has not.
"""

import csv
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from math import isclose
from pathlib import Path
from random import Random
from statistics import fmean

import duckdb
import pytest
from scipy import stats
from support.shop import run_dbt

from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
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
# The last days of tenure on which outcomes count.
OUTCOMES = {"repeat_purchase": 210, "later_net_revenue": 365}
FEATURES = (
    *("first_basket_value", "first_discount_share", "second_purchase_within_30d"),
    *("first_category", "first_channel", "acquisition_source", "onboarding_event"),
)
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
class Shop:
    paths: SourcePaths
    customers: list[Customer]

    def rows(self, query: str) -> list[dict]:
        with connect(self.paths, read_only=True) as connection:
            relation = connection.execute(query)
            names = [column[0] for column in relation.description]
            return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    paths, customers = SourcePaths(tmp_path_factory.mktemp("shop"), "shop"), make_customers(1200)
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
    return Shop(paths, customers)


# Spend by tenure


def test_comparisons_are_of_the_same_customers_by_month(shop: Shop) -> None:
    seen = [one for one in shop.customers if one.tenure >= 1094]
    kept = [one for one in seen if 1094 - max(d for d in one.days if d <= 1094) <= 90]
    assert len(kept) > 30
    clients = [one for one in shop.customers if len(one.days) >= 5]
    expected = {
        "client_to_first_purchase": (
            fmean(one.spent(0, 0) for one in shop.customers),
            fmean(one.spent(0, 9999) for one in clients),
            len(clients),
        )
    }
    for name, group in (("", seen), ("_of_survivors", kept)):
        expected[f"year_3_to_first_6_months{name}"] = (
            fmean(one.spent(0, 182) for one in group) / 6,
            fmean(one.spent(730, 1094) for one in group) / 12,
            len(group),
        )
    found = {row["comparison"]: row for row in shop.rows("from marts.spend_comparisons")}
    assert found.keys() == expected.keys()
    for name, (base, compared, count) in expected.items():
        row = found[name]
        assert row["compared_customer_count"] == count
        assert abs(float(row["base_net_revenue_per_customer"]) - base) < 0.0051
        assert abs(float(row["compared_net_revenue_per_customer"]) - compared) < 0.0051
        assert abs(float(row["ratio"]) - compared / base) < 0.000051
        assert row["note"] is None


# Powers


def score(values: dict[str, float | None], *, least_is_best: bool = False) -> dict[str, float]:
    """Return the share, in per cent, of those with a value who have no more; none gives 0."""
    known = {name: -value if least_is_best else value for name, value in values.items()
             if value is not None}  # fmt: skip
    ordered = sorted(known.values())
    return {
        name: 100 * bisect_right(ordered, known[name]) / len(ordered) if name in known else 0.0
        for name in values
    }


def some(customers: list[Customer], value: Callable[[Customer], float]) -> dict[str, float | None]:
    """Return a value by customer, none where it is not above zero."""
    return {one.name: value(one) if value(one) > 0 else None for one in customers}


def rate_of(customer: Customer) -> float | None:
    kinds = Counter(one[1] for one in customer.recent())
    sent = kinds["message_sent"]
    return min(kinds["message_opened"], sent) / sent if sent else None


def test_powers_are_means_of_scores_among_those_who_have_something(shop: Shop) -> None:
    customers, own = shop.customers, ("visit", "message_opened", "referral", "survey", "review")
    last = {
        one.name: max((c[0] for c in one.seen() if c[1] in own), default=None) for one in customers
    }
    since = {
        one.name: None if last[one.name] is None else one.tenure - last[one.name]
        for one in customers
    }
    rates = {one.name: rate_of(one) for one in customers}
    answers = score({name: rate or None for name, rate in rates.items()})
    surveys = {
        one.name: fmean(c[2] for c in one.seen() if c[1] == "survey")
        if any(c[1] == "survey" for c in one.seen())
        else None
        for one in customers
    }

    def counted(kind: str) -> dict[str, float | None]:
        return some(customers, lambda one: sum(c[1] == kind for c in one.seen()))

    expected = {
        "purchase_recency_score": score(
            {one.name: one.tenure - one.days[-1] for one in customers}, least_is_best=True
        ),
        "purchase_frequency_score": score(
            some(customers, lambda one: sum(day > one.tenure - 365 for day in one.days))
        ),
        "purchase_monetary_score": score(
            some(customers, lambda one: one.spent(max(one.tenure - 364, 0), one.tenure))
        ),
        "interaction_recency_score": score(since, least_is_best=True),
        "interaction_frequency_score": score(
            some(customers, lambda one: len({c[0] for c in one.recent() if c[1] in own}))
        ),
        "interaction_variety_score": score(
            some(customers, lambda one: len({c[1] for c in one.recent() if c[1] in own}))
        ),
        "interaction_answer_score": {
            name: None if rate is None else answers[name] for name, rate in rates.items()
        },
        "referral_score": score(counted("referral")),
        "review_score": score(counted("review")),
        "survey_score": score(surveys),
    }
    powers = {
        "purchase_power": list(expected)[:3],
        "interaction_power": list(expected)[3:7],
        "influence_power": list(expected)[7:],
    }
    rows = {row["customer_id"]: row for row in shop.rows("from marts.customer_powers")}
    assert rows.keys() == {one.name for one in customers}
    for name, row in rows.items():
        for column, values in expected.items():
            shown = row[column] if row[column] is None else float(row[column])
            same = shown == values[name] or isclose(shown, values[name], abs_tol=0.0051)
            assert same, (name, column, shown, values[name])
        for column, parts in powers.items():
            known = [expected[part][name] for part in parts if expected[part][name] is not None]
            # Of rounded scores.
            assert isclose(float(row[column]), fmean(known), abs_tol=0.0102), (name, column)
    assert {row["interaction_note"] for row in rows.values()} == {None}


# Drivers


def features_of(customer: Customer) -> dict[str, float]:
    first = [line for line in customer.lines if line[0] == 0]
    paid, discount = sum(line[1] for line in first), sum(line[2] for line in first)
    return {
        "first_basket_value": paid,
        "first_discount_share": discount / (paid + discount),
        "second_purchase_within_30d": float(any(0 < day <= 30 for day in customer.days)),
    }


def levels_of(customer: Customer) -> dict[str, set[str] | None]:
    """Return the levels a customer belongs to, by feature; none where it is not known."""
    main = max((line for line in customer.lines if line[0] == 0), key=lambda line: line[1])
    return {
        "first_category": {main[3]},
        "first_channel": {main[4]},
        "acquisition_source": {customer.came_by} if customer.came_by else None,
        "onboarding_event": {one[1] for one in customer.seen() if one[0] <= 30},
    }


def outcome_of(customer: Customer, outcome: str) -> float:
    if outcome == "repeat_purchase":
        return float(any(30 < day <= 210 for day in customer.days))
    return customer.spent(31, 365)


def ranked(features: list[float], outcomes: list[float]) -> tuple[float, float]:
    result = stats.spearmanr(features, outcomes)
    return float(result.statistic), float(result.pvalue)


@pytest.fixture(scope="module")
def expected_drivers(shop: Shop) -> dict[tuple, tuple[int, float, float]]:
    """Return customers, correlation and p-value by outcome, feature and level."""
    found = {}
    for outcome, last_day in OUTCOMES.items():
        watched = [one for one in shop.customers if one.tenure >= last_day]
        outcomes = [outcome_of(one, outcome) for one in watched]
        for feature in features_of(watched[0]):
            values = [features_of(one)[feature] for one in watched]
            found[outcome, feature, None] = (len(watched), *ranked(values, outcomes))
        for feature in levels_of(watched[0]):
            known = [one for one in watched if levels_of(one)[feature] is not None]
            outcomes_known = [outcome_of(one, outcome) for one in known]
            sizes = Counter(level for one in known for level in levels_of(one)[feature])
            for level, size in sizes.items():
                if min(size, len(known) - size) >= 50 and 100 * size >= len(known):
                    values = [float(level in levels_of(one)[feature]) for one in known]
                    found[outcome, feature, level] = (len(known), *ranked(values, outcomes_known))
    return found


def test_drivers_are_rank_correlations(shop: Shop, expected_drivers: dict) -> None:
    query = "from intermediate.int_driver_correlations where note is null"
    found = {
        (row["outcome"], row["feature"], row["feature_level"]): row for row in shop.rows(query)
    }
    assert found.keys() == expected_drivers.keys()
    assert {feature for _, feature, _ in found} == {*FEATURES}
    for key, (count, rho, _) in expected_drivers.items():
        assert found[key]["customer_count"] == count, key
        assert isclose(found[key]["rank_correlation"], rho, abs_tol=1e-9), key


def test_chances_are_those_of_scipy(shop: Shop, expected_drivers: dict) -> None:
    rows = shop.rows("from marts.driver_correlations where p_value is not null")
    keys = [(row["outcome"], row["feature"], row["feature_level"]) for row in rows]
    chances = [expected_drivers[key][2] for key in keys]
    controlled = stats.false_discovery_control(chances)
    assert any(0.01 < chance < 0.99 for chance in chances)
    for row, p, q in zip(rows, chances, controlled, strict=True):
        assert isclose(float(row["p_value"]), p, abs_tol=1e-5), row
        assert isclose(float(row["q_value"]), q, abs_tol=1e-4), row
        assert row["is_beyond_chance"] == (q <= 0.05)


def test_known_drivers_are_found_and_others_are_not(shop: Shop) -> None:
    rows = shop.rows("from marts.driver_correlations where outcome = 'repeat_purchase'")
    found = {(row["feature"], row["feature_level"]): row for row in rows}
    for key in (
        ("first_basket_value", None),
        ("first_channel", "web"),
        ("second_purchase_within_30d", None),
    ):
        assert found[key]["direction"] == "positive", key
        assert found[key]["is_beyond_chance"], key
    assert found["first_channel", "store"]["direction"] == "negative"
    for source in ("web", "partner", "fair"):
        assert not found["acquisition_source", source]["is_beyond_chance"]
    assert "(40 left out)" in found["first_category", "all others"]["finding"]
    assert {row["relation"] for row in rows} == {"association"}


def test_nothing_after_the_as_of_date_counts(shop: Shop, tmp_path: Path) -> None:
    """Days after it are in the shop already; without them every figure stays the same."""
    copy = SourcePaths(tmp_path, "shop")
    shutil.copytree(shop.paths.data_dir, tmp_path, dirs_exist_ok=True)
    with duckdb.connect(str(copy.warehouse)) as connection:
        for table, day in (("transactions", "ordered_on"), ("interactions", "occurred_at")):
            future = f"from raw.{table} where cast({day} as date) > date '{AS_OF}'"
            assert connection.execute(f"select count(*) {future}").fetchone() != (0,)
            connection.execute(f"delete {future}")
        connection.execute(
            f"delete from intermediate.int_customer_days where ordered_on > '{AS_OF}'"
        )
    models = ("customer_powers", "driver_correlations")
    kept = ("int_customer_days", "int_day_revisions", "path:models/staging")
    run_models(copy, "run", "--select", *(f"+{model}" for model in models), "--exclude", *kept)
    for model in models:
        rows = sorted(shop.rows(f"from marts.{model}"), key=str)
        assert sorted(Shop(copy, []).rows(f"from marts.{model}"), key=str) == rows, model
