"""Source files: every mistake is answered with its remedy, and what follows from what they say."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.small_source import GOOD, changed, check_fault, fault, read

from dagster_project.config import churn_presets
from dagster_project.config.source import load_source, read_source
from dagster_project.errors import ConfigurationError
from dagster_project.paths import SourcePaths

# id, text of the file, place, parts of the message
FAULTS = [
    ("unknown key", GOOD + "curency: USD\n", "line 16, curency", ["did you mean currency?"]),
    ("unknown setting", GOOD + "settings:\n  kept_release: 3\n",
     "line 17, settings.kept_release", ["did you mean kept_releases?"]),
    ("unknown limit", GOOD + "limits: {max_amount: 0}\n",
     "line 16, limits.max_amount", ["did you mean maximum_amount?"]),
    ("wrong type", changed("0.3", "lots"), "line 8, margin_rate", ["valid decimal"]),
    ("out of range", changed("0.3", "1.3"), "line 8, margin_rate", ["less than or equal to 1"]),
    ("too fine", changed("0.3", "0.33333"), "line 8, margin_rate", ["no more than 4 decimal"]),
    ("wrong kind", changed("kind: finished", "kind: done"), "line 2, kind", ["'finished'"]),
    ("wrong currency", changed("USD", "usd"), "line 6, currency", ["pattern"]),
    ("missing key", changed("currency: USD\n", ""), "currency", ["is missing; add it"]),
    ("unknown industry", changed("grocery", "grocry"), "line 5, industry",
     ["did you mean grocery?", "Known are accountant, ", "wholesale", "churn_definition"]),
    ("threshold among the settings", GOOD + "settings: {lost_threshold_days: 90}\n",
     "line 16, settings.lost_threshold_days",
     ["write churn_definition: {method: fixed, lost_days: 90}"]),
    ("client too early", GOOD + "settings: {client_purchase_days: 1}\n",
     "line 16, settings.client_purchase_days", ["greater than or equal to 2"]),
    ("one release to roll back to", GOOD + "settings: {kept_releases: 1}\n",
     "line 16, settings.kept_releases", ["greater than or equal to 2"]),
    ("decline of nothing", GOOD + "settings: {decline_share: 0}\n",
     "line 16, settings.decline_share", ["greater than 0"]),
    ("decline of everything", GOOD + "settings: {decline_share: 1}\n",
     "line 16, settings.decline_share", ["less than 1"]),
    ("returns risen by everything", GOOD + "settings: {return_share_rise: 1}\n",
     "line 16, settings.return_share_rise", ["less than 1"]),
    ("alert worse than chance", GOOD + "settings: {minimum_alert_lift: 0.9}\n",
     "line 16, settings.minimum_alert_lift", ["greater than or equal to 1"]),
    ("limit above everything", GOOD + "settings: {maximum_false_lost_share: 1.01}\n",
     "line 16, settings.maximum_false_lost_share", ["less than or equal to 1"]),
    ("impossible day", changed("2024-12-31", "2024-13-45"), "line 4, last_day", ["date"]),
    ("last day missing", changed("last_day: 2024-12-31\n", ""), "the file", ["last_day is needed"]),
    ("last day of a live source", changed("finished", "live"), "the file",
     ["only there"]),
    ("days in disorder", changed("2024-12-31", "2023-12-31"), "the file",
     ["last_day is before first_day"]),
    ("a day that is none", GOOD + "closed_days: [12-25]\n",
     "line 16, closed_days", ["'12-25' is no day and no range of days", "2024-12-24..2025-01-01"]),
    ("a closed day no calendar has", GOOD + "closed_days: [2024-12-25, 2024-02-30]\n",
     "line 16, closed_days", ["'2024-02-30' holds a day that no calendar has"]),
    ("closed days in disorder", GOOD + "closed_days: 2025-01-01..2024-12-24\n",
     "line 16, closed_days", ["ends before it begins"]),
    ("closed for years", GOOD + "closed_days: [2024-12-24..2034-01-01]\n",
     "line 16, closed_days", ["longer than a year"]),
    ("no silence at all", GOOD + "limits: {maximum_silent_days: 0}\n",
     "line 16, limits.maximum_silent_days", ["greater than or equal to 1"]),
    ("silence of a finished source", GOOD + "limits: {maximum_silent_days: 9}\n",
     "the file", ["limits.maximum_silent_days is for kind: live"]),
    ("unknown zone", changed("America/New_York", "America/New_Yorck"), "line 7, time_zone",
     ["did you mean America/New_York?"]),
    ("a limit by its old name", GOOD + "limits: {rejected_share: 0.5}\n",
     "line 16, limits.rejected_share", ["is named maximum_rejected_share now; write that"]),
    ("a setting by its old name", GOOD + "settings: {score_min_buyers: 5}\n",
     "line 16, settings.score_min_buyers", ["is named minimum_score_buyers now; write that"]),
    ("a tier by its old name", GOOD + "value_tiers: {high: 0.1, middle: 0.5}\n",
     "line 16, value_tiers", ["in the tiers by revenue and share: is named medium now; write"]),
    ("tiers where they were", GOOD + "settings: {high_tier_share: 0.6}\n",
     "line 16, settings.high_tier_share", ["write value_tiers: {high: 0.6} beside settings"]),
    ("reserved key", GOOD + "name: x\n", "", ["remove them"]),
    ("a list", "- a\n", "", ["expected keys and values"]),
    ("nothing", "", "", ["expected keys and values"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_fault_names_file_line_key_and_remedy(
    text: str, place: str, parts: list[str], tmp_path: Path
) -> None:
    check_fault(tmp_path, text, place, parts)


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("", []),
        ("[]", []),
        ("2024-12-25", ["2024-12-25"]),
        ("[2024-02-28..2024-03-01]", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("[2024-12-25, 2024-12-24 .. 2024-12-25]", ["2024-12-24", "2024-12-25"]),
    ],
)
def test_closed_days_are_single_or_ranges(written: str, days: list[str], tmp_path: Path) -> None:
    source = read(tmp_path, f"{GOOD}closed_days: {written}\n")
    assert sorted(map(str, source.days_closed)) == days


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    message = fault(tmp_path, changed("0.3", "lots").replace("USD", "usd"))
    assert [line.split(", ")[2].split(":")[0] for line in message.splitlines()] == [
        "currency",
        "margin_rate",
    ]


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "shop.yml").write_bytes(b"description: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_source(tmp_path / "shop.yml")


def test_name_of_a_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lower-case"):
        read(tmp_path, GOOD, "My-Shop.yml")


def test_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("Did you mean cdnow_sample?")):
        load_source(SourcePaths(tmp_path, "cdnow_sampel"))


def test_sources_of_a_data_directory_come_first(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "cdnow.yml").write_text(GOOD)
    assert load_source(SourcePaths(tmp_path, "cdnow")).description == "A shop"


def test_today_is_of_the_zone_of_the_source(tmp_path: Path) -> None:
    live = read(tmp_path, changed("last_day: 2024-12-31\n", "").replace("finished", "live"))
    midnight = datetime(2024, 7, 1, 4, 0, tzinfo=UTC)
    assert live.today(midnight) == date(2024, 7, 1)
    assert live.last_complete_day(midnight) == date(2024, 6, 30)
    assert live.today(datetime(2024, 7, 1, 3, 59, tzinfo=UTC)) == date(2024, 6, 30)
    assert read(tmp_path, GOOD).last_complete_day(midnight) == date(2024, 12, 31)


def test_settings_fingerprint_follows_what_decides_a_release(tmp_path: Path) -> None:
    first = read(tmp_path, GOOD).settings_fingerprint()
    assert read(tmp_path, "# a comment\n" + GOOD).settings_fingerprint() == first
    assert read(tmp_path, changed("0.3", "0.4")).settings_fingerprint() != first
    other = GOOD + "churn_definition: {method: fixed, lost_days: 91}\n"
    assert read(tmp_path, other).settings_fingerprint() != first
    kept = GOOD + "settings: {kept_releases: 2, kept_days: 0, kept_runs: 1}\n"
    assert read(tmp_path, kept).settings_fingerprint() == first


def test_settings_fingerprint_follows_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(tmp_path, GOOD).settings_fingerprint()
    longer = [
        preset.model_copy(update={"lost_days": 91}) for preset in churn_presets.presets()["grocery"]
    ]
    changed_presets = churn_presets.presets() | {"grocery": tuple(longer)}
    monkeypatch.setattr(churn_presets, "presets", lambda: changed_presets)
    assert read(tmp_path, GOOD).settings_fingerprint() != first


def test_model_settings_of_the_smallest_file(tmp_path: Path) -> None:
    source = read(tmp_path, changed("industry: grocery\n", ""))
    settings = source.model_settings()
    (definition,) = settings.pop("churn_definitions")
    assert definition.pop("description").startswith("Where no industry is named")
    assert definition.pop("description_zh").startswith("未指明行业时")
    assert definition == {
        "valid_from": "0001-01-01",
        "method": "fixed",
        "lost_days": 183,
        "gap_multiple": "3.00",
        "quantile": "0.80",
        "seasons": [],
    }
    assert settings == {
        "currency": "USD",
        "time_zone": "America/New_York",
        "margin_rate": "0.3",
        "churn_basis": "both",
        "has_interactions": False,
        "has_discounts": False,
        "typical_gap_days": 61,
        "alarm_gap_count": 3,
        "new_customer_days": 30,
        "evergreen_purchase_days": 3,
        "client_purchase_days": 5,
        "decline_share": "0.50",
        "return_share_rise": "0.20",
        "minimum_alert_lift": "2",
        "maximum_false_lost_share": "0.50",
        "minimum_score_buyers": 500,
        "minimum_score_days": 180,
        "minimum_score_repeat_buyers": 50,
        "discount_rate": "0.10",
        "value_tiers": [
            {
                "valid_from": "0001-01-01",
                "measure": "revenue",
                "method": "share",
                "high": "0.2000",
                "medium": "0.5000",
            }
        ],
    }
    assert json.loads(json.dumps(source.model_settings())) == source.model_settings()


def test_model_settings_follow_the_file(tmp_path: Path) -> None:
    text = GOOD + (
        "settings: {client_purchase_days: 6, decline_share: 0.4, return_share_rise: .1, "
        "minimum_alert_lift: 1.5, maximum_false_lost_share: 1}\n"
    )
    settings = read(tmp_path, text).model_settings()
    assert settings["client_purchase_days"] == 6
    assert [
        settings[name]
        for name in (
            "decline_share",
            "return_share_rise",
            "minimum_alert_lift",
            "maximum_false_lost_share",
        )
    ] == ["0.4", "0.1", "1.5", "1"]


@pytest.mark.parametrize(
    ("definition", "days"),
    [
        ("", 30),
        ("churn_definition: {method: fixed, lost_days: 7}\n", 2),
        ("churn_definition: {method: fixed, lost_days: 3}\n", 1),
        ("churn_definition: {method: season, seasons: 03-01..05-31}\n", 30),
        ("churn_definition:\n  - {method: fixed, lost_days: 60, valid_from: 2024-07-01}\n"
         "  - {method: fixed, lost_days: 120}\n", 20),
        ("churn_definition: {method: fixed, lost_days: 7}\nsettings: {typical_gap_days: 5}\n", 5),
    ],
)  # fmt: skip
def test_typical_gap_is_a_third_of_the_latest_days(
    definition: str, days: int, tmp_path: Path
) -> None:
    assert read(tmp_path, GOOD + definition).typical_gap_days == days
