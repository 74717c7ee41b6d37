"""Spend by the time since the first purchase; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("spend_by_tenure", "delete from spend_by_tenure"
     " where segment_value = '2024-02' and tenure_month = 0;"
     "update spend_by_tenure set observed_customer_count = 1, survivor_count = 1,"
     " net_revenue = 10, survivor_net_revenue = 10, net_revenue_per_acquired_customer = 10,"
     " net_revenue_per_survivor = 10, cumulative_net_revenue_per_acquired_customer = 10"
     " where segment = 'all' and tenure_month = 0",
     "cells_complete", "1 of 4 unexpected", "acquisition_month 2024-02"),
    ("spend_by_tenure", "update spend_by_tenure set net_revenue_per_survivor = 0"
     " where segment_value = '2024-01' and tenure_month = 1",
     "immature_is_unknown", "1 of 9 unexpected", "acquisition_month:2024-01:1"),
    ("spend_by_tenure", "update spend_by_tenure set net_revenue = 0, survivor_net_revenue = 0,"
     " net_revenue_per_acquired_customer = 0, cumulative_net_revenue_per_acquired_customer = 0"
     " where segment_value = '2024-03'",
     "immature_is_unknown", "1 of 9 unexpected", "acquisition_month:2024-03:0"),
    ("spend_by_tenure", "update spend_by_tenure set survival_rate = .9"
     " where segment_value = '2024-02' and tenure_month = 0",
     "figures_agree", "1 of 9 unexpected", "acquisition_month:2024-02:0"),
    ("spend_by_tenure", "update spend_by_tenure"
     " set cumulative_net_revenue_per_acquired_customer = 11"
     " where segment_value = '2024-01' and tenure_month = 0",
     "figures_agree", "1 of 9 unexpected", "acquisition_month:2024-01:0"),
    ("spend_by_tenure", "update spend_by_tenure set survivor_count = 1, survival_rate = .5,"
     " net_revenue_per_survivor = 22.5 where segment = 'all' and tenure_month = 0",
     "months_add_up", "1 of 3 unexpected", "0 acquisition_month"),
    ("spend_by_tenure", "update customers set first_purchase_on = '2024-01-03'"
     " where customer_id = 'b'",
     "observed_as_in_customers", "5 of 6 unexpected", "2024-01 0"),
    ("spend_comparisons", "delete from spend_comparisons where comparison like 'client%'",
     "comparisons_complete", "2 comparisons", None),
    ("spend_comparisons", "update spend_comparisons set ratio = 2, note = null"
     " where comparison like 'client%'",
     "ratios_consistent", "1 of 3 unexpected", "client_to_first_purchase"),
    ("spend_comparisons", "update customers set contact_stage = 'high_repurchase'"
     " where customer_id = 'a'",
     "customers_as_elsewhere", "1 of 3 unexpected", "client_to_first_purchase"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("tenure", FAULTS) == expectations("tenure")
