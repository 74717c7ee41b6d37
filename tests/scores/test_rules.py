"""Plain rules, against a few lines of plain Python on the same customers."""

import numpy as np
import pytest
from support.made_up import customers

from dagster_project.scores import rules
from dagster_project.scores.snapshot import Snapshot


def test_hiatus_rule_knows_two_rates_with_the_boundary_at_thirteen_weeks() -> None:
    past = Snapshot(
        repeat_count=np.zeros(5, int),
        days_to_last=np.zeros(5, int),
        days_observed=np.array([0, 91, 91, 92, 300]),
        value_tier=np.zeros(5, int),
        group_number=np.arange(5),
        next_period_count=np.array([4, 0, 1, 0, 3]),
    )
    rule = rules.HiatusRule.learn(past)
    forecast = rule.forecast(past)
    assert forecast.repurchase_probability == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 2, 1 / 2])
    assert forecast.purchase_count == pytest.approx([5 / 3, 5 / 3, 5 / 3, 3 / 2, 3 / 2])


def test_hiatus_rule_without_anybody_silent_uses_the_rate_of_all() -> None:
    past = customers()
    recent = Snapshot(
        **{
            name: getattr(past, name)[past.days_since_last_purchase <= 91]
            for name in Snapshot.__dataclass_fields__
        }
    )
    rule = rules.HiatusRule.learn(recent)
    assert rule.rates[0] == pytest.approx(rule.rates[1])


def test_empirical_table_draws_thin_cells_to_what_is_above_them() -> None:
    past, today = customers(seed=3), customers(seed=4)
    forecast = rules.EmpiricalTable.learn(past).forecast(today)

    def hiatus_class(snapshot: Snapshot, row: int) -> int:
        return sum(
            snapshot.days_since_last_purchase[row] > bound
            for bound in (7, 14, 30, 60, 91, 182, 365)
        )

    def purchase_class(snapshot: Snapshot, row: int) -> int:
        return sum(snapshot.repeat_count[row] + 1 > bound for bound in (1, 2, 4, 9))

    def keys(snapshot: Snapshot, row: int) -> list[tuple[int, ...]]:
        tier = snapshot.value_tier[row]
        parts = (hiatus_class(snapshot, row), purchase_class(snapshot, row), tier)
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
        assert forecast.repurchase_probability[row] == pytest.approx(rate, abs=1e-9)
