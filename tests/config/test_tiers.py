"""Value tiers: what a source may declare, what is refused, and what the models are told."""

from pathlib import Path

import pytest
from support.small_source import GOOD, check_fault, read

# id, text of the file, place, parts of the message
FAULTS = [
    ("tiers in disorder", GOOD + "value_tiers: {high: 0.6}\n",
     "line 16, value_tiers", ["in the tiers by revenue and share: high must be below medium"]),
    ("tiers of equal shares", GOOD + "value_tiers: {high: 0.5}\n", "value_tiers", ["below medium"]),
    ("tiers of more than all", GOOD + "value_tiers: {high: 0.5, medium: 1}\n",
     "line 16, value_tiers", ["medium below 1"]),
    ("tiers of nothing", GOOD + "value_tiers: {high: -0.1}\n",
     "line 16, value_tiers.high", ["greater than 0"]),
    ("tiers too fine", GOOD + "value_tiers: {high: 0.12345}\n", "value_tiers", ["4 decimals"]),
    ("tiers without amounts", GOOD + "value_tiers: {method: cutoff, high: 100}\n",
     "line 16, value_tiers", ["in the tiers by revenue and cutoff: needs high and medium"]),
    ("tiers of amounts in disorder",
     GOOD + "value_tiers: {measure: margin, method: cutoff, high: 100, medium: 100}\n",
     "line 16, value_tiers", ["in the tiers by margin and cutoff: high must be above medium"]),
    ("tiers of parts of a cent", GOOD + "value_tiers: {method: cutoff, high: 1.005, medium: 1}\n",
     "line 16, value_tiers", ["2 decimals for method cutoff"]),
    ("tiers by an unknown measure", GOOD + "value_tiers: {measure: profit}\n",
     "line 16, value_tiers.measure", ["'revenue', 'margin' or 'expected_value'"]),
    ("tiers with an unknown key", GOOD + "value_tiers: {hgih: 0.1}\n",
     "line 16, value_tiers.hgih", ["did you mean high?"]),
    ("no tiers", GOOD + "value_tiers: share\n",
     "line 16, value_tiers", ["such as {method: share, high: 0.20, medium: 0.50}"]),
    ("tiers that overlap", GOOD + "value_tiers:\n"
     "  - {high: 0.1, valid_from: 2024-07-01}\n"
     "  - {measure: margin, valid_from: 2024-07-01}\n",
     "line 18, value_tiers.1.valid_from",
     ["in the tiers by margin and share valid from 2024-07-01: overlaps with"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_faulty_tiers(text: str, place: str, parts: list[str], tmp_path: Path) -> None:
    check_fault(tmp_path, text, place, parts)


def test_model_settings_of_versioned_tiers(tmp_path: Path) -> None:
    text = GOOD + (
        "value_tiers:\n"
        "  - {measure: margin, method: cutoff, high: 1E+3, medium: 200, valid_from: 2024-07-01}\n"
        "  - {high: 0.1, valid_from: 2024-02-01}\n"
    )
    source = read(tmp_path, text)
    earlier, later = source.model_settings()["value_tiers"]
    assert earlier == {
        "valid_from": "0001-01-01",
        "measure": "revenue",
        "method": "share",
        "high": "0.1000",
        "medium": "0.5000",
    }
    assert later == {
        "valid_from": "2024-07-01",
        "measure": "margin",
        "method": "cutoff",
        "high": "1000.0000",
        "medium": "200.0000",
    }
    assert source.settings_fingerprint() != read(tmp_path, GOOD).settings_fingerprint()
