"""Powers of customers; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("customer_powers", "delete from customer_powers where customer_id = 'p'",
     "one_row_per_customer", "1 of 4 unexpected", "p"),
    ("customer_powers", "update customer_powers set purchase_recency_score = 100.01"
     " where customer_id = 'c'",
     "scores_within_bounds", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set purchase_power = 77.8 where customer_id = 'c'",
     "powers_are_means", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set influence_note = null where customer_id = 'c'",
     "powers_are_means", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set purchase_frequency_score = 66.68,"
     " purchase_power = 44.45 where customer_id = 'a'",
     "equal_values_share_a_score", "1 of 4 unexpected", "a"),
    ("customer_powers", "update customer_powers"
     " set net_revenue_trailing_365d = 20.01 where customer_id = 'c'",
     "values_as_in_customers", "1 of 4 unexpected", "c"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("interactions", FAULTS) == expectations("interactions")
