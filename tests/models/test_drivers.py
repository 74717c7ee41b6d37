"""What goes with what customers do later, against plain Python and scipy."""

import shutil
from collections import Counter
from math import isclose
from pathlib import Path

import duckdb
import pytest
from scipy import stats
from support.four_years import AS_OF, Customer, FourYears, run_models

from dagster_project.paths import SourcePaths

# The last days of tenure on which outcomes count.
OUTCOMES = {"repeat_purchase": 210, "later_net_revenue": 365}
FEATURES = (
    *("first_basket_value", "first_discount_share", "second_purchase_within_30d"),
    *("first_category", "first_channel", "acquisition_source", "onboarding_event"),
)


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
def expected_drivers(four_years: FourYears) -> dict[tuple, tuple[int, float, float]]:
    """Return customers, correlation and p-value by outcome, feature and level."""
    found = {}
    for outcome, last_day in OUTCOMES.items():
        watched = [one for one in four_years.customers if one.tenure >= last_day]
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


def test_drivers_are_rank_correlations(four_years: FourYears, expected_drivers: dict) -> None:
    query = "from intermediate.int_driver_correlations where note is null"
    found = {
        (row["outcome"], row["feature"], row["feature_level"]): row
        for row in four_years.rows(query)
    }
    assert found.keys() == expected_drivers.keys()
    assert {feature for _, feature, _ in found} == {*FEATURES}
    for key, (count, rho, _) in expected_drivers.items():
        assert found[key]["customer_count"] == count, key
        assert isclose(found[key]["rank_correlation"], rho, abs_tol=1e-9), key


def test_chances_are_those_of_scipy(four_years: FourYears, expected_drivers: dict) -> None:
    rows = four_years.rows("from marts.driver_correlations where p_value is not null")
    keys = [(row["outcome"], row["feature"], row["feature_level"]) for row in rows]
    chances = [expected_drivers[key][2] for key in keys]
    controlled = stats.false_discovery_control(chances)
    assert any(0.01 < chance < 0.99 for chance in chances)
    for row, p, q in zip(rows, chances, controlled, strict=True):
        assert isclose(float(row["p_value"]), p, abs_tol=1e-5), row
        assert isclose(float(row["q_value"]), q, abs_tol=1e-4), row
        assert row["is_beyond_chance"] == (q <= 0.05)


def test_known_drivers_are_found_and_others_are_not(four_years: FourYears) -> None:
    rows = four_years.rows("from marts.driver_correlations where outcome = 'repeat_purchase'")
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


def test_nothing_after_the_as_of_date_counts(four_years: FourYears, tmp_path: Path) -> None:
    """Days after it are in the shop already; without them every figure stays the same."""
    copy = SourcePaths(tmp_path, "shop")
    shutil.copytree(four_years.paths.data_dir, tmp_path, dirs_exist_ok=True)
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
        rows = sorted(four_years.rows(f"from marts.{model}"), key=str)
        assert sorted(FourYears(copy, []).rows(f"from marts.{model}"), key=str) == rows, model
