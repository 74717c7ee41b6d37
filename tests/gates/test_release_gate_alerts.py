"""Alerts and how often they are right; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("alerts", "update alerts set cleared_on = '2024-02-09' where outcome = 'recovered'",
     "dates_in_order", "1 of 5 unexpected", "b:basket_narrowing:2024-02-10"),
    ("alerts", "update alerts set raised_on = '2024-03-11' where raised_on = '2024-03-31'",
     "one_alert_at_a_time", "1 of 5 unexpected", "b:overdue:2024-03-11"),
    ("alerts", "update alerts set observed = 20 where customer_id = 'a'",
     "figures_agree", "1 of 5 unexpected", "a:overdue:2024-01-26"),
    ("alerts", "update alerts set direction = 'up' where alert_type = 'basket_narrowing'",
     "figures_agree", "1 of 5 unexpected", "b:basket_narrowing:2024-02-10"),
    ("alerts", "update alerts set outcome = 'recovered' where customer_id = 'a'",
     "outcomes_agree", "1 of 5 unexpected", "a:overdue:2024-01-26"),
    ("alerts", "update customers set lifecycle_stage = 'lost' where customer_id = 'c'",
     "outcomes_agree", "1 of 5 unexpected", "c:return_share_rising:2024-03-28"),
    ("alerts", "delete from alerts where raised_on = '2024-03-31'",
     "overdue_are_the_alarmed", "1 of 1 unexpected", "b"),
    ("alert_quality", "delete from alert_quality where alert_type = 'overdue'",
     "five_types_once", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set base_rate = 1.5",
     "rates_within_bounds", "5 of 5 unexpected", "basket_narrowing"),
    ("alert_quality", "update alert_quality set precision_rate = .5 where alert_type = 'overdue'",
     "rates_within_bounds", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set horizon_months = 4 where alert_type = 'overdue'",
     "evaluated_at_month_start", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set is_alarming = not is_alarming",
     "alarming_as_defined", "5 of 5 unexpected", "basket_narrowing"),
    ("alert_quality", "update alert_quality set alert_count = 1, precision_rate = 1"
     " where alert_type = 'overdue'",
     "counts_as_in_alerts", "1 of 5 unexpected", "overdue 1, in alerts 0"),
    ("alert_quality", "insert into alerts by name"
     " select 'overdue' as alert_type, date '2023-10-01' as raised_on from range(30);"
     "update alert_quality set base_rate = .2;"
     "update alert_quality set alert_count = 30, precision_rate = .1 where alert_type = 'overdue'",
     "overdue_not_below_chance", "1 of 5 unexpected", "overdue"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("alerts", FAULTS) == expectations("alerts")
