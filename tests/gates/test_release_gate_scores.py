"""Scores, what makes them and how good they are; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("customer_scores", "delete from customer_scores where customer_id = 'b'",
     "one_row_per_buyer", "1 of 3 unexpected", "b"),
    ("customer_scores", "update customer_scores set repurchase_probability_90d = 1.2,"
     " revenue_at_risk = -2 where customer_id = 'a'",
     "scores_within_bounds", "1 of 3 unexpected", "a"),
    ("customer_scores", "update customer_scores set expected_next_purchase_on = '2024-03-31'"
     " where customer_id = 'a'",
     "scores_within_bounds", "1 of 3 unexpected", "a"),
    ("customer_scores", "update customer_scores set revenue_at_risk = 11 where customer_id = 'c'",
     "revenue_at_risk_as_defined", "1 of 3 unexpected", "c"),
    ("customer_scores", "update customer_scores set probability_alive = null"
     " where customer_id = 'c'",
     "published_or_explained", "1 of 15 unexpected", "c probability_alive"),
    ("customer_scores", "update score_versions set is_chosen = false"
     " where score = 'expected_order_value'",
     "published_or_explained", "6 of 15 unexpected", "a expected_order_value"),
    ("customer_scores", "update score_versions set model = 'hiatus_rule'"
     " where score = 'expected_purchase_days'",
     "published_or_explained", "3 of 15 unexpected", "a note"),
    ("value_forecasts", "update value_forecasts set clv_365d_low = 30"
     " where segment = 'all'",
     "ends_in_order", "1 of 10 unexpected", "all:all"),
    ("value_forecasts", "update value_forecasts set clv_365d = 9 where segment = 'all'",
     "segments_add_up", "1 of 4 unexpected", "all"),
    ("value_forecasts", "delete from value_forecasts where segment_value = 'high'",
     "segments_add_up", "1 of 4 unexpected", "value_tier"),
    ("score_versions", "update score_versions set is_chosen = true",
     "one_publisher_a_score", "1 of 4 unexpected",
     "repurchase_probability_90d"),
    ("score_versions", "update score_versions set score = 'expected_purchase_days'"
     " where score = 'probability_alive'",
     "one_publisher_a_score", "2 of 4 unexpected", "expected_purchase_days"),
    ("score_versions", "update score_versions set log_likelihood_gain = 5.9",
     "published_as_allowed", "1 of 5 unexpected", "probability_alive:mbg_nbd"),
    ("score_versions", "update score_versions set data_to = '2024-04-01'"
     " where model = 'gamma_gamma'",
     "published_as_allowed", "1 of 5 unexpected", "expected_order_value:gamma_gamma"),
    ("score_versions", "update model_quality set rmse_difference_high = .001"
     " where model = 'mbg_nbd'",
     "published_has_passed", "1 of 3 unexpected", "expected_purchase_days"),
    ("model_quality", "update model_quality set purpose = 'choosing' where model = 'hiatus_rule'",
     "cutoffs_as_defined", "1 of 2 unexpected", "90:2024-01-01:hiatus_rule"),
    ("model_quality", "update model_quality set rmse = .4, rmse_difference = -.3"
     " where model = 'mbg_nbd'",
     "measures_within_bounds", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set actual_count = 3 where model = 'mbg_nbd'",
     "same_customers_for_all", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set brier_difference = -.06 where model = 'mbg_nbd'",
     "differences_from_the_plain_rule", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set bias = .6 where model = 'mbg_nbd'",
     "published_forecast_is_unbiased", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_calibration", "update model_calibration set predicted_rate = .2"
     " where model = 'mbg_nbd' and decile = 8",
     "rates_within_bounds", "1 of 4 unexpected", "90:2024-01-01:mbg_nbd:8"),
    ("model_calibration", "delete from model_calibration where model = 'mbg_nbd' and decile = 8",
     "everybody_in_one_tenth", "1 of 2 unexpected", "90 days mbg_nbd"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("scores", FAULTS) == expectations("scores")
