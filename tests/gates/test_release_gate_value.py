"""Values, tiers and RFM groups; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("customer_values", "delete from customer_values where customer_id = 'a'"
     " and period = 'trailing_90d'",
     "periods_complete", "1 of 4 unexpected", "a"),
    ("customer_values", "update customer_values set period_order = 3 where customer_id = 'p'"
     " and period = 'lifetime'",
     "periods_complete", "1 of 4 unexpected", "p"),
    ("customer_values", "update customer_values set adjustment_amount = 1 where customer_id = 'a'"
     " and period = 'trailing_90d'",
     "net_is_sales_less_returns_plus_adjustments",
     "sales 60.00 - returns 0.00 + adjustments 0.00", "a:trailing_90d"),
    # Each customer adds up, the total does not: a return was taken for an adjustment.
    ("customer_values", "update customer_values set adjustment_amount = 1, return_amount = 1,"
     " return_share = 1 / sale_amount where customer_id = 'a' and period = 'lifetime'",
     "net_is_sales_less_returns_plus_adjustments",
     "sales 60.00 - returns 1.00 + adjustments 1.00", None),
    ("customer_values", "update customer_values set net_revenue = 9, adjustment_amount = -1"
     " where customer_id = 'a' and period = 'last_active_year'",
     "sums_as_in_customers", "1 of 16 unexpected", "a:last_active_year"),
    ("customer_values", "update customer_values set average_order_value = 14"
     " where customer_id = 'b' and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "b:lifetime"),
    ("customer_values", "update customer_values set discount_amount = 10 where customer_id = 'a'"
     " and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set discount_amount = null, discount_share = null"
     " where customer_id = 'a' and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set return_share = null where customer_id = 'a'"
     " and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set order_count = 1, average_order_value = 30"
     " where customer_id = 'b'",
     "orders_and_days_agree", "4 of 16 unexpected", "b:last_active_year"),
    ("customer_values", "update customer_values set order_count = 3, average_order_value = 10"
     " where customer_id = 'b' and period = 'trailing_90d'",
     "periods_within_each_other", "1 of 4 unexpected", "b"),
    ("value_tier_versions", "delete from value_tier_versions where value_tier = 'low';"
     "delete from customers where value_tier = 'low'",
     "tiers_complete", "1 of 3 unexpected", "1 low"),
    ("value_tier_versions", "update value_tier_versions set is_in_force = false",
     "one_in_force", "1 of 1 unexpected", "1"),
    ("value_tier_versions", "update value_tier_versions set valid_to = '2024-03-31'",
     "one_in_force", "1 of 1 unexpected", "1"),
    ("value_tier_versions",
     "update value_tier_versions set cutoff_amount = 31 where value_tier = 'medium'",
     "cutoffs_in_order", "1 of 3 unexpected", "1:medium"),
    ("value_tier_versions", "update value_tier_versions set method = 'cutoff'",
     "cutoffs_in_order", "2 of 3 unexpected", "1:high"),
    ("value_tier_versions",
     "update value_tier_versions set boundary = 1 where value_tier = 'medium'",
     "cutoffs_in_order", "1 of 3 unexpected", "1:medium"),
    ("value_tier_versions",
     "update value_tier_versions set value_at_stake = 29 where value_tier = 'high'",
     "tiers_as_in_customers", "1 of 3 unexpected", "1 high"),
    ("value_tier_versions", "update customers set value_tier = 'low' where customer_id = 'b'",
     "tiers_as_in_customers", "2 of 3 unexpected", "1 high"),
    ("value_tier_versions",
     "update value_tier_versions set label_zh = '' where value_tier = 'high'",
     "labels_present", "1 of 3 unexpected", "1:high"),
    ("value_tier_movements", "insert into value_tier_movements by name"
     " from value_tier_movements where month = '2024-03-01' and to_tier = 'medium';"
     "insert into customers by name from customers where value_tier = 'medium'",
     "movements_well_formed", "2 of 7 unexpected", "2024-03-01:none:medium"),
    ("value_tier_movements", "update value_tier_movements set to_tier = 'high'"
     " where month = '2024-01-01'",
     "movements_chain", "2 of 4 unexpected", "2024-02-01 high"),
    ("value_tier_movements", "update value_tier_movements set to_tier = 'medium'"
     " where month = '2024-03-01' and from_tier = 'low'",
     "movements_end_in_customers", "2 of 3 unexpected", "low"),
    ("customer_rfm", "update customer_rfm set monetary = 29 where customer_id = 'b'",
     "buyers_as_in_customers", "1 of 3 unexpected", "b"),
    ("customer_rfm", "insert into customers by name select * replace ('d' as customer_id)"
     " from customers where customer_id = 'c'",
     "buyers_as_in_customers", "1 of 4 unexpected", "d"),
    ("customer_rfm", "update customer_rfm set frequency_score = 2, fm_score = 2,"
     " rfm_code = '412' where customer_id = 'c'",
     "scores_respect_ties, groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("customer_rfm", "update customer_rfm set rfm_group = 'lost' where customer_id = 'c'",
     "groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("customer_rfm", "update customer_rfm set rfm_code = '111' where customer_id = 'c'",
     "groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("rfm_groups", "delete from rfm_groups where recency_score = 3 and fm_score = 1",
     "cells_total_and_exclusive", "1 of 25 unexpected", "3 1"),
    ("rfm_groups", "insert into rfm_groups by name select * replace (0 as fm_score)"
     " from rfm_groups where rfm_group = 'lost'",
     "cells_total_and_exclusive", "1 of 26 unexpected", "1 0"),
    ("rfm_groups", "update rfm_groups set rfm_group = 'lost', label = 'Lost',"
     " label_zh = '流失客户',"
     " suggested_action = (select min(suggested_action) from rfm_groups where rfm_group = 'lost'),"
     " suggested_action_zh = (select min(suggested_action_zh) from rfm_groups"
     " where rfm_group = 'lost') where rfm_group = 'promising'",
     "every_group_reached", "1 of 11 unexpected", "promising"),
    ("rfm_groups", "update rfm_groups set label = 'Lost' where rfm_group = 'promising'",
     "words_agree", "2 of 25 unexpected", "1:1"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("value", FAULTS) == expectations("value")
