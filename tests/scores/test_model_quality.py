"""Plain rules and measures, against a few lines of plain Python on the same customers."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.scores import quality
from dagster_project.scores.quality import Forecast, Snapshot


def customers(count: int = 400, seed: int = 3, *, next_period: list[int] | None = None) -> Snapshot:
    """Return customers of a made-up day, a third of them with equal histories."""
    dice = random.Random(seed)
    observed = [dice.randrange(0, 500) for _ in range(count)]
    to_last = [dice.randrange(0, days + 1) for days in observed]
    repeats = [dice.choice((0, 0, 1, 2, 5, 12)) if last else 0 for last in to_last]
    to_last = [last if repeat else 0 for last, repeat in zip(to_last, repeats, strict=True)]
    value = [float(dice.choice((0, 10, 10, 10, 25, 80))) for _ in range(count)]
    following = next_period or [
        dice.choice((0, 0, 0, 1, 3)) if days - last < 150 else 0
        for days, last in zip(observed, to_last, strict=True)
    ]
    return Snapshot(
        repeat_count=np.array(repeats),
        days_to_last=np.array(to_last),
        days_observed=np.array(observed),
        value_at_stake=np.array(value),
        group_number=np.array([dice.randrange(100) for _ in range(count)]),
        last_period_count=np.array([dice.choice((0, 1, 2)) for _ in range(count)]),
        next_period_count=np.array(following),
    )


def test_hiatus_rule_knows_two_rates_with_the_boundary_at_thirteen_weeks() -> None:
    past = Snapshot(
        repeat_count=np.zeros(5, int),
        days_to_last=np.zeros(5, int),
        days_observed=np.array([0, 91, 91, 92, 300]),
        value_at_stake=np.zeros(5),
        group_number=np.arange(5),
        next_period_count=np.array([4, 0, 1, 0, 3]),
    )
    rule = quality.HiatusRule.learn(past)
    forecast = rule.forecast(past)
    assert forecast.return_probability == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 2, 1 / 2])
    assert forecast.purchase_count == pytest.approx([5 / 3, 5 / 3, 5 / 3, 3 / 2, 3 / 2])


def test_hiatus_rule_without_anybody_silent_uses_the_rate_of_all() -> None:
    past = customers()
    recent = Snapshot(
        **{
            name: getattr(past, name)[past.hiatus_days <= 91]
            for name in Snapshot.__dataclass_fields__
        }
    )
    rule = quality.HiatusRule.learn(recent)
    assert rule.rates[0] == pytest.approx(rule.rates[1])


def test_empirical_table_draws_thin_cells_to_what_is_above_them() -> None:
    past, today = customers(seed=3), customers(seed=4)
    forecast = quality.EmpiricalTable.learn(past).forecast(today)

    def hiatus_class(snapshot: Snapshot, row: int) -> int:
        return sum(snapshot.hiatus_days[row] > bound for bound in (7, 14, 30, 60, 91, 182, 365))

    def purchase_class(snapshot: Snapshot, row: int) -> int:
        return sum(snapshot.repeat_count[row] + 1 > bound for bound in (1, 2, 4, 9))

    def tier(snapshot: Snapshot, row: int) -> int:
        greater = sum(snapshot.value_at_stake > snapshot.value_at_stake[row])
        return sum(greater < share * len(snapshot) for share in (0.5, 0.2))

    def keys(snapshot: Snapshot, row: int) -> list[tuple[int, ...]]:
        parts = (hiatus_class(snapshot, row), purchase_class(snapshot, row), tier(snapshot, row))
        return [parts[:level] for level in range(4)]

    learnt = [keys(past, row) for row in range(len(past))]
    for row in range(0, len(today), 7):
        wanted = keys(today, row)
        rate = None
        for level in range(4):
            members = [
                past.next_period_count[other] > 0
                for other in range(len(past))
                if learnt[other][level] == wanted[level]
            ]
            if level == 0:
                rate = sum(members) / len(members)
            else:
                rate = (sum(members) + 20 * rate) / (len(members) + 20)
        assert forecast.return_probability[row] == pytest.approx(rate, abs=1e-9)


def test_tiers_of_the_table_share_equal_values() -> None:
    values = np.array([5.0] * 90 + [1.0] * 10)
    assert quality.tier_bounds(values).tolist() == [5.0, 5.0]
    assert quality.tier_bounds(np.array([7.0])).tolist() == [7.0, 7.0]


def test_measures_equal_plain_python() -> None:
    known = customers()
    dice = random.Random(5)
    chance = [dice.choice((0.1, 0.2, 0.2, 0.7)) for _ in range(len(known))]
    count = [dice.random() * 3 for _ in range(len(known))]
    measured = quality.quality(known, Forecast(np.array(chance), np.array(count)))
    actual = known.next_period_count.tolist()
    returned = [number > 0 for number in actual]
    pairs = [
        (a > b) + (a == b) / 2
        for a, is_back in zip(chance, returned, strict=True)
        if is_back
        for b, is_other_back in zip(chance, returned, strict=True)
        if not is_other_back
    ]
    assert measured["auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert measured["brier"] == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(chance, returned, strict=True)) / len(known)
    )
    assert measured["bias"] == pytest.approx(sum(count) / sum(actual) - 1)
    errors = [a - b for a, b in zip(count, actual, strict=True)]
    assert measured["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))
    assert measured["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))
    # Seventy customers or so share the chance at the border of the first tenth.
    best = [back for a, back in zip(chance, returned, strict=True) if a == 0.7]
    assert len(best) > len(known) / 10
    assert measured["top_decile_lift"] == pytest.approx(
        (sum(best) / len(best)) / (sum(returned) / len(returned))
    )


def test_what_is_not_defined_is_none_and_nothing_is_infinite() -> None:
    nobody = customers(next_period=[0] * 400)
    measured = quality.quality(nobody, quality.nobody_returns(nobody))
    assert {name for name, value in measured.items() if value is None} == {
        "bias", "correlation", "auc", "top_decile_lift"
    }  # fmt: skip
    assert all(math.isfinite(value) for value in measured.values() if value is not None)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_calibration_holds_everybody_once_and_equal_chances_together(count: int, seed: int) -> None:
    known = customers(count, seed)
    dice = random.Random(seed)
    chance = np.array([dice.choice((0.0, 0.3, 0.31, 1.0)) for _ in range(count)])
    rows = quality.calibration(known, Forecast(chance, chance))
    assert sum(row["customer_count"] for row in rows) == count
    assert len(rows) <= 4
    assert sum(row["customer_count"] * row["predicted_rate"] for row in rows) == pytest.approx(
        chance.sum()
    )
    predicted = [row["predicted_rate"] for row in rows]
    assert predicted == sorted(predicted)


def test_paired_interval_is_that_of_a_bootstrap_over_customers() -> None:
    known = customers(2000)
    good = Forecast(np.where(known.hiatus_days < 150, 0.4, 0.0), known.next_period_count * 0.5)
    rule = quality.HiatusRule.learn(known).forecast(known)
    found = quality.paired_differences(known, {"good": good, "hiatus_rule": rule}, "hiatus_rule")
    assert found["hiatus_rule"]["brier_difference_high"] == 0
    returned = known.next_period_count > 0
    loss = (good.return_probability - returned) ** 2 - (rule.return_probability - returned) ** 2
    assert found["good"]["brier_difference"] == pytest.approx(loss.mean())
    # The central limit theorem's interval, within the noise of 2,000 replicates of 100 groups.
    spread = 1.96 * loss.std() / math.sqrt(len(known))
    assert found["good"]["brier_difference_low"] == pytest.approx(
        loss.mean() - spread, abs=spread / 3
    )
    assert found["good"]["brier_difference_high"] == pytest.approx(
        loss.mean() + spread, abs=spread / 3
    )
    assert found["good"]["rmse_difference_high"] < 0


def test_the_interval_does_not_depend_on_the_order_of_customers() -> None:
    known = customers(300)
    order = np.random.default_rng(1).permutation(300)
    shuffled = Snapshot(
        **{name: getattr(known, name)[order] for name in Snapshot.__dataclass_fields__}
    )
    results = []
    for snapshot in (known, shuffled):
        rule = quality.HiatusRule.learn(known).forecast(snapshot)
        nobody = quality.nobody_returns(snapshot)
        results.append(
            quality.paired_differences(
                snapshot, {"nobody_returns": nobody, "hiatus_rule": rule}, "hiatus_rule"
            )["nobody_returns"]
        )
    assert results[0] == pytest.approx(results[1])
