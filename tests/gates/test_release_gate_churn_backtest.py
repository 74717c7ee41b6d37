"""Definitions of lost, held against what came after; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("churn_definition_backtest", "update churn_definition_backtest set horizon_days = 180",
     "outcomes_known", "6 of 6 unexpected", "active:180:2024-01-01"),
    ("churn_definition_backtest", "delete from churn_definition_backtest"
     " where definition_id = 'fixed_60'",
     "same_customers_for_all", "1 of 1 unexpected", "2024-01-01 90"),
    ("churn_definition_backtest", "update churn_definition_backtest set missed_count = 3,"
     " missed_rate = .5, accuracy = .6, balanced_accuracy = .625 where definition_id = 'active'",
     "counts_add_up", "1 of 6 unexpected", "active:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set balanced_accuracy = .71"
     " where definition_id = 'active'",
     "rates_are_quotients", "1 of 6 unexpected", "active:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set false_lost_rate = 0"
     " where definition_id = 'nobody_lost'",
     "rates_are_quotients", "1 of 6 unexpected", "nobody_lost:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set definition_id ="
     " if(definition_id = 'nobody_lost', 'cadence_3', 'nobody_lost')"
     " where definition_id in ('nobody_lost', 'cadence_3')",
     "yardsticks_hold", "1 of 6 unexpected", "nobody_lost:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set repeat_lost_days = null"
     " where definition_id = 'fixed_60'",
     "thresholds_positive", "1 of 6 unexpected", "fixed_60:90:2024-01-01"),
    ("churn_definition_summary", "update churn_definition_summary set cutoff_count = 2"
     " where definition_id = 'active'",
     "pooled_from_backtest", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set accuracy = .71"
     " where definition_id = 'active'",
     "rates_are_quotients", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_active = false",
     "active_marked", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_eligible = false"
     " where definition_id = 'active'",
     "eligible_as_defined", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_eligible = true"
     " where definition_id = 'nobody_lost'",
     "eligible_as_defined", "1 of 6 unexpected", "90:nobody_lost"),
    ("churn_definition_summary", "update churn_definition_summary set is_best = true,"
     " difference_low = 0, difference_high = 0 where definition_id = 'active'",
     "best_is_best", "6 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set difference_from_best = -.1"
     " where definition_id = 'active'",
     "differences_agree", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_worse_than_best = true"
     " where definition_id = 'active'",
     "differences_agree", "1 of 6 unexpected", "90:active"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("churn_backtest", FAULTS) == expectations("churn_backtest")
