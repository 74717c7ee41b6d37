"""Customers, their cohorts and who came and went; each fault is named by the release gate."""

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
    ("customers", "update customers set lifecycle_stage = 'gone' where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set lifecycle_rule_id = null where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_rule_id = 'repeat_purchase_days'"
     " where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set contact_stage = null where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_stage = 'repeat',"
     " loyalty_rule_id = 'repeat_purchase_days' where customer_id = 'c'",
     "axes_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_stage = 'client',"
     " loyalty_rule_id = 'client_many_purchase_days', contact_stage = 'high_repurchase',"
     " contact_rule_id = 'high_repurchase_days' where customer_id = 'b'",
     "axes_agree", "1 of 4 unexpected", "b"),
    ("customers", "update customers set days_since_last_purchase = 7 where customer_id = 'c'",
     "purchases_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set known_on = '2024-03-26' where customer_id = 'c'",
     "purchases_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set days_until_lost = null where customer_id = 'c'",
     "lost_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set lost_on = '2024-04-01', lost_threshold_days = 86"
     " where customer_id = 'a'",
     "lost_as_defined", "1 of 4 unexpected", "a"),
    ("customers", "update customers set lost_threshold_days = 31 where customer_id = 'b'",
     "silence_as_long_as_allowed", "1 of 4 unexpected", "b"),
    ("customers", "update customers set lost_threshold_days = null where customer_id = 'b'",
     "silence_as_long_as_allowed", "1 of 4 unexpected", "b"),
    ("customers", "update customers set is_regained = false where customer_id = 'b'",
     "losses_as_in_episodes", "1 of 4 unexpected", "b"),
    ("customers", "delete from lost_episodes where customer_id = 'a'",
     "losses_as_in_episodes", "1 of 4 unexpected", "a"),
    ("customers", "update customers set net_revenue = 20.01 where customer_id = 'c'",
     "net_revenue_reconciles",
     "customers 60.01 + without customer 5.00 + excluded 2.00 = 67.01", None),
    ("customers", "update customers set value_tier = null where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set value_at_stake = 0 where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set net_revenue_trailing_365d = null",
     "no_column_empty", "1 of 27 columns empty", "net_revenue_trailing_365d"),
    ("lifecycle_flow", "delete from lifecycle_flow where month = '2024-01-01';"
     "update lifecycle_flow set dormant_customer_count = 0, new_customer_count = 2,"
     " active_customer_count = 2 where month = '2024-02-01';"
     "update lifecycle_flow set dormant_customer_count = 1 where month = '2024-03-01'",
     "months_complete", "1 of 3 unexpected", "2024-01-01"),
    ("lifecycle_flow", "update lifecycle_flow set dormant_customer_count = 2"
     " where month = '2024-02-01'",
     "flow_reconciles", "1 of 3 unexpected", "2024-02-01"),
    ("lifecycle_flow", "update lifecycle_flow set new_customer_count = 0,"
     " resurrecting_customer_count = 1 where month = '2024-02-01'",
     "every_buyer_new_once", "2 new customers", None),
    ("cohort_retention", "delete from cohort_retention"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "cells_complete", "1 of 3 unexpected", "2024-01-01"),
    ("cohort_retention", "update cohort_retention set retention_rate = .99"
     " where acquisition_month = '2024-02-01' and months_since = 1",
     "rates_consistent", "1 of 6 unexpected", "2024-02-01:1"),
    ("cohort_retention", "update cohort_retention set not_lost_rate = .5"
     " where acquisition_month = '2024-02-01' and months_since = 1",
     "rates_consistent", "1 of 6 unexpected", "2024-02-01:1"),
    ("cohort_retention", "update cohort_retention set still_buying_customer_count = 1,"
     " still_buying_rate = 1 where acquisition_month = '2024-01-01' and months_since = 2",
     "still_buying_falls", "1 of 6 unexpected", "2024-01-01:2"),
    ("cohort_retention", "update cohort_retention"
     " set not_lost_customer_count = 0, not_lost_rate = 0"
     " where acquisition_month = '2024-02-01' and months_since = 0",
     "buyers_not_lost", "1 of 6 unexpected", "2024-02-01:0"),
    ("cohort_retention", "update customers set lifecycle_stage = 'lost' where customer_id = 'c'",
     "not_lost_are_the_customers_now", "1 of 3 unexpected", "2024-03-01"),
    ("cohort_retention", "update cohort_retention set cumulative_net_revenue_per_customer = 10.01"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "cumulative_revenue_adds_up", "1 of 6 unexpected", "2024-01-01:1"),
    ("cohort_retention", "update cohort_retention set is_left_censored = true"
     " where acquisition_month = '2024-03-01'",
     "first_cohort_marked", "1 of 6 unexpected", "2024-03-01:0"),
    ("cohort_retention", "update cohort_retention set is_mature = false"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "maturity_as_defined", "1 of 6 unexpected", "2024-01-01:1"),
    ("cohort_retention", "insert into customers by name"
     " select * replace ('z' as customer_id) from customers where customer_id = 'a'",
     "every_buyer_in_one_cohort", "3 customers in cohorts", None),
]  # fmt: skip
# Shown to fail by tests of their own.
SHOWN_BELOW = {
    ("customers", "customer_ids_present"),
    ("customers", "customer_ids_unique"),
    ("customers", "every_known_customer_present"),
    ("customers", "high_tier_share_plausible"),
    ("customers", "stage_shares_stable"),
}


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("customers", FAULTS, SHOWN_BELOW) == expectations("customers")


def test_row_without_a_customer_is_named(release: Path, warehouse: Path) -> None:
    make(release, "update customers set customer_id = null where customer_id = 'p'")
    faults = failed(judge_release("customers", release, warehouse))
    assert list(faults) == ["customer_ids_present", "every_known_customer_present"]


@pytest.mark.parametrize(
    ("fault", "observed"),
    [
        ("delete from customers where customer_id = 'p'", "1 missing, 0 unknown"),
        ("update customers set customer_id = 'z' where customer_id = 'p'", "1 missing, 1 unknown"),
        ("insert into customers by name from customers where customer_id = 'p'", None),
    ],
)
def test_every_known_customer_is_published_once(
    fault: str, observed: str | None, release: Path, warehouse: Path
) -> None:
    make(release, fault)
    faults = failed(judge_release("customers", release, warehouse))
    expectation = "every_known_customer_present" if observed else "customer_ids_unique"
    assert list(faults) == [expectation]
    assert faults[expectation].observed_value == (observed or "2 of 5 unexpected")


def test_lines_after_the_as_of_date_make_no_customer_known(release: Path, warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set customer_id = 'later' where source_row = 7")
    assert judge_release("customers", release, warehouse).is_passed


@pytest.mark.parametrize(
    ("basis", "interacted_on", "days_until_lost"),
    [
        ("purchase", "2024-03-30", 20),
        ("both", "2024-03-30", 30),
        ("both", "2024-03-10", 20),
        ("both", None, 20),
        ("interaction", "2024-03-30", 30),
        ("interaction", "2024-03-15", 15),
    ],
)
def test_silence_is_counted_from_what_the_basis_names(
    basis: str, interacted_on: str | None, days_until_lost: int, release: Path, warehouse: Path
) -> None:
    # b bought on 2024-02-10 and last on 2024-03-20.
    make(release, f"""
        update churn_definitions set basis = '{basis}';
        update customers
        set last_interaction_on = nullif('{interacted_on}', 'None')::date,
            days_until_lost = {days_until_lost}
        where customer_id = 'b'
    """)  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}
    make(release, "update customers set days_until_lost = days_until_lost + 1"
         " where customer_id = 'b'")  # fmt: skip
    assert list(failed(judge_release("customers", release, warehouse))) == [
        "silence_as_long_as_allowed"
    ]


def test_purchases_stand_in_where_the_definition_says_so(release: Path, warehouse: Path) -> None:
    make(release, "update churn_definitions set basis = 'interaction'")
    faults = failed(judge_release("customers", release, warehouse))
    assert list(faults) == ["silence_as_long_as_allowed"]
    assert faults["silence_as_long_as_allowed"].example_ids == ("b",)
    make(release, "update churn_definitions"
         " set note = 'the source has no interactions: purchases stand in'")  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}


def test_season_has_no_threshold_in_days(release: Path, warehouse: Path) -> None:
    make(release, """
        update churn_definitions
        set method = 'season', first_time_lost_days = null, repeat_lost_days = null
        where definition_id = 'active';
        update customers set lost_threshold_days = null;
        update customers set lifecycle_rule_id = 'lost_season_passed' where customer_id = 'a'
    """)  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}
    assert failed(judge_release("churn_definitions", release, warehouse)) == {}
    make(release, "update customers set lost_on = '2024-01-05' where customer_id = 'a'")
    assert list(failed(judge_release("customers", release, warehouse))) == [
        "silence_as_long_as_allowed"
    ]


def test_stage_shares_are_compared_with_the_former_release(release: Path, warehouse: Path) -> None:
    make(warehouse, "insert into audit.former_stages"
         " values ('lost', 40, '2024-03-30'), ('prospect', 60, '2024-03-30')")  # fmt: skip
    verdict = judge_release("customers", release, warehouse)
    drift = failed(verdict)["stage_shares_stable"]
    assert verdict.is_passed
    assert drift.observed_value == "prospect from 60.0% to 25.0%"
    assert drift.example_ids[0] == "prospect"
    assert drift.unexpected_count == 4


def test_zero_may_have_a_margin(release: Path, warehouse: Path) -> None:
    make(release, "update customers set value_at_stake = 0 where customer_id = 'b';"
         "update lost_episodes set value_year_before = 0 where customer_id = 'b'")  # fmt: skip
    for table in ("customers", "lost_episodes"):
        assert "tiers_as_defined" in failed(judge_release(table, release, warehouse))
    make(release, "update value_tier_versions set measure = 'margin'")
    for table in ("customers", "lost_episodes"):
        assert "tiers_as_defined" not in failed(judge_release(table, release, warehouse))


@pytest.mark.parametrize(("buyers", "is_passed"), [(46, True), (47, False)])
def test_share_of_the_high_tier_is_judged_from_50_buyers_on(
    buyers: int, is_passed: bool, release: Path, warehouse: Path
) -> None:
    make(release, f"""
        insert into customers by name
        select * replace (unnest(range({buyers}))::varchar as customer_id, 'high' as value_tier)
        from customers where customer_id = 'c'
    """)  # fmt: skip
    outcomes = judge_release("customers", release, warehouse).outcomes
    tiers = next(one for one in outcomes if one.expectation == "high_tier_share_plausible")
    assert tiers.is_passed == is_passed
    assert tiers.severity == "warning"
