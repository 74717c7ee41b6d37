"""Losses, their rates, and whom to win back; each fault is named by the release gate."""

from pathlib import Path

import pytest
from support.gate_cases import (
    Fault,
    each,
    expectations,
    failed,
    found,
    judge_release,
    make,
    meant,
    shown,
)

# table, fault, expectation, observed value, first example
FAULTS = [
    ("churn_rates",
     "update churn_rates set is_complete_month = false, annualised_churn_rate = null"
     " where definition_id = 'fixed_60' and month = '2024-02-01' and segment = 'all'",
     "cells_well_formed", "1 of 14 unexpected", "fixed_60:2024-02-01:all:all"),
    ("churn_rates", "update churn_rates set churn_rate = .4"
     " where churn_rate = .5 and segment = 'all'",
     "rates_consistent", "1 of 14 unexpected", "fixed_60:2024-03-01:all:all"),
    ("churn_rates", "update churn_rates set annualised_churn_rate = .9"
     " where churn_rate = .5 and segment = 'all'",
     "rates_consistent", "1 of 14 unexpected", "fixed_60:2024-03-01:all:all"),
    ("churn_rates", "update churn_rates set annualised_churn_rate = null"
     " where churn_rate = .5 and segment = 'all'",
     "rates_consistent", "1 of 14 unexpected", "fixed_60:2024-03-01:all:all"),
    ("churn_rates", "update churn_rates set value_at_stake = 11"
     " where definition_id = 'fixed_60' and value_at_stake = 10 and segment = 'value_tier'",
     "segments_add_up", "1 of 9 unexpected", "fixed_60 2024-03-01 value_tier"),
    ("churn_rates", "update churn_rates set base_customer_count = 2, churn_rate = .5,"
     " annualised_churn_rate = .999714 where segment = 'region'",
     "segments_add_up", "1 of 9 unexpected", "active 2024-03-01 region"),
    ("churn_rates", "delete from stage_transitions where to_stage = 'vulnerable'",
     "bases_are_the_active", "1 of 2 unexpected", "2024-03-01"),
    ("churn_rates", "delete from lost_customers_by_month where lost_month = '2024-02-01'",
     "losses_are_those_of_the_month", "1 of 4 unexpected", "2024-02-01 low"),
    ("lost_episodes", "update lost_episodes set episode_number = 2 where customer_id = 'b'",
     "episodes_in_order", "1 of 2 unexpected", "b:2"),
    ("lost_episodes", "insert into lost_episodes by name"
     " select * replace (2 as episode_number) from lost_episodes where customer_id = 'b'",
     "episodes_in_order", "2 of 3 unexpected", "b:1"),
    ("lost_episodes", "update lost_episodes set lost_days = 56 where customer_id = 'a'",
     "dates_in_order", "1 of 2 unexpected", "a:1"),
    ("lost_episodes", "update lost_episodes set lost_on = '2024-02-06', lost_days = 54"
     " where customer_id = 'a'",
     "open_episodes_are_the_lost", "1 of 1 unexpected", "a"),
    ("lost_episodes", "update lost_episodes set spend_ratio = 1.4 where customer_id = 'b'",
     "values_after_agree", "1 of 2 unexpected", "b:1"),
    ("lost_episodes", "update lost_episodes set value_tier = null where customer_id = 'a'",
     "tiers_as_defined", "1 of 2 unexpected", "a:1"),
    ("lost_customers_by_month", "delete from lost_customers_by_month"
     " where lost_month = '2024-03-01' and value_tier = 'low'",
     "cells_complete", "1 of 2 unexpected", "2024-03-01"),
    ("lost_customers_by_month", "insert into lost_customers_by_month by name select * replace"
     " (lost_month + interval 2 month as lost_month) from lost_customers_by_month"
     " where lost_customer_count = 0 and lost_month = '2024-03-01'",
     "cells_complete", "1 of 3 unexpected", "2024-05-01"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set regained_within_30d_count = 1 where lost_customer_count = 1 and value_tier = 'low';"
     "update lost_episodes set is_open = false, lost_days = 8 where customer_id = 'a'",
     "regained_within_lost", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set regained_within_60d_count = 0 where lost_customer_count = 1 and value_tier = 'low'",
     "immature_is_unknown", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set regained_within_30d_count = null where lost_customer_count = 1 and value_tier = 'low'",
     "immature_is_unknown", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "delete from lost_episodes where customer_id = 'b'",
     "losses_as_in_episodes", "1 of 6 unexpected", "2024-03-01:high"),
    ("lost_customers_by_month",
     "update customers set lifecycle_stage = 'alarm' where customer_id = 'a'",
     "losses_reconcile", "1 lost and not regained", None),
    ("winback_candidates", "delete from winback_candidates where customer_id = 'a'",
     "only_and_all_eligible", "1 of 2 unexpected", "a"),
    ("winback_candidates", "insert into winback_candidates values"
     " (3, 'c', 'low', 'new', null, 6, 1, 'USD', 'why')",
     "only_and_all_eligible", "1 of 3 unexpected", "c"),
    ("winback_candidates",
     "update winback_candidates set days_since_last_purchase = 1 where rank = 1",
     "only_and_all_eligible", "1 of 2 unexpected", "b"),
    ("winback_candidates", "update winback_candidates set rank = 3 where rank = 2",
     "ranks_in_order", "1 of 2 unexpected", "a"),
    ("winback_candidates", "update winback_candidates set rank = 3 - rank",
     "ranks_in_order", "2 of 2 unexpected", "a"),
]  # fmt: skip
# Shown to fail by a test of its own.
SHOWN_BELOW = {("winback_candidates", "customer_ids_unique")}


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("losses", FAULTS, SHOWN_BELOW) == expectations("losses")


def test_customer_ranked_twice_is_named(release: Path, warehouse: Path) -> None:
    make(release, "insert into winback_candidates select * replace (3 as rank)"
         " from winback_candidates where rank = 2")  # fmt: skip
    faults = failed(judge_release("winback_candidates", release, warehouse))
    assert list(faults) == ["customer_ids_unique"]


@pytest.mark.parametrize("days", [29, 30])
def test_months_are_compared_where_no_silence_fits_into_one(
    days: int, release: Path, warehouse: Path
) -> None:
    make(release, f"""
        update churn_definitions set first_time_lost_days = {days}, repeat_lost_days = {days}
        where definition_id = 'active';
        delete from lost_customers_by_month;
        update cohort_retention set not_lost_customer_count = 0, not_lost_rate = 0
        where acquisition_month = '2024-02-01' and months_since = 0
    """)  # fmt: skip
    is_compared = days == 30
    faults = failed(judge_release("churn_rates", release, warehouse))
    assert ("losses_are_those_of_the_month" in faults) == is_compared
    faults = failed(judge_release("cohort_retention", release, warehouse))
    assert ("buyers_not_lost" in faults) == is_compared
