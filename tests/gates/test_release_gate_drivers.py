"""What goes with buying again; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("driver_correlations", "delete from driver_correlations"
     " where feature = 'first_channel' and outcome = 'repeat_purchase'",
     "pairs_complete", "1 of 14 unexpected", "repeat_purchase first_channel"),
    ("driver_correlations", "update driver_correlations set direction = 'positive'"
     " where feature_level = 'tea'",
     "figures_agree", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set finding = 'words'"
     " where feature = 'first_channel'",
     "figures_agree", "2 of 14 unexpected", "later_net_revenue:first_channel"),
    ("driver_correlations", "update driver_correlations set customer_count = 99"
     " where feature = 'first_basket_value'",
     "enough_customers", "2 of 14 unexpected", "later_net_revenue:first_basket_value"),
    ("driver_correlations", "update driver_correlations set level_customer_count = 151"
     " where feature_level = 'tea'",
     "enough_customers", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set q_value = .2"
     " where feature_level = 'tea'",
     "discoveries_controlled", "1 of 3 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set relation = 'cause'"
     " where feature_level = 'tea'",
     "only_associations", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("drivers", FAULTS) == expectations("drivers")
