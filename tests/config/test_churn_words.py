"""Churn definitions in words."""

from pathlib import Path

import pytest
from support.churn_shop import shop

from dagster_project.config.churn_words import parameters_text, rule_text_zh, threshold_text


@pytest.mark.parametrize(
    ("written", "parameters", "threshold"),
    [
        ("{method: fixed, basis: purchase, lost_days: 90}", "lost_days 90",
         "lost after more than 90 days without a purchase"),
        ("{method: cadence, basis: purchase, lost_days: 90}", "gap_multiple 3.00, lost_days 90",
         "lost after 3.00 times the customer's own expected gap, between 30 and 180 days, without "
         "a purchase"),
        ("{method: cadence, basis: interaction, lost_days: 100, gap_multiple: 2.5}",
         "gap_multiple 2.50, lost_days 100",
         "lost after 2.50 times the customer's own expected gap, between 33 and 200 days, without "
         "an interaction"),
        ("{method: season, seasons: [01-15..04-15, 10-01..12-24]}",
         "seasons 01-15..04-15, 10-01..12-24",
         "lost the day after a whole season 01-15..04-15 or 10-01..12-24 with neither a purchase "
         "nor an interaction; no threshold in days"),
        ("{method: survival, lost_days: 90, basis: purchase}", "quantile 0.80, lost_days 90",
         "estimated from the data by the first run with this definition; 90 days without a "
         "purchase if they are too few"),
        ("{method: gap_percentile, quantile: .9}", "quantile 0.90, lost_days 183",
         "estimated from the data by the first run with this definition; 183 days with neither a "
         "purchase nor an interaction if they are too few"),
    ],
)  # fmt: skip
def test_words(written: str, parameters: str, threshold: str, tmp_path: Path) -> None:
    (definition,) = shop(tmp_path, f"churn_definition: {written}\n").churn_definitions
    assert parameters_text(definition) == parameters
    assert threshold_text(definition) == threshold
    assert definition.description.endswith(".")
    assert definition.description.startswith("Lost ")
    assert definition.description_zh == f"{rule_text_zh(definition)}。"
    assert "流失" in definition.description_zh
