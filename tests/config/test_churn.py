"""Churn definitions: what a source may declare and what is refused."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from support.churn_shop import fault, shop

from dagster_project.config.churn import Definition
from dagster_project.config.versions import in_force


def test_what_a_version_leaves_out_comes_from_the_preset(tmp_path: Path) -> None:
    text = "industry: mobile_app\nchurn_definition: {method: cadence}\n"
    (definition,) = shop(tmp_path, text).churn_definitions
    assert definition == Definition(
        method="cadence",
        basis="interaction",
        lost_days=210,
        gap_multiple=Decimal(3),
        quantile=Decimal("0.80"),
        seasons=(),
        valid_from=date.min,
        declared_from=None,
        description="Lost after 3.00 times the customer's own expected gap, between 70 and 420 "
        "days, without an interaction.",
        description_zh="超过客户自身预期间隔的 3.00 倍（不少于 70 天，不超过 420 天）"
        "没有互动即视为流失。",
    )


def test_everything_may_be_declared(tmp_path: Path) -> None:
    text = (
        "churn_definition:\n"
        "  - {method: survival, basis: purchase, lost_days: 50, quantile: .9, "
        "description: Mine, description_zh: 自定}\n"
    )
    source = shop(tmp_path, text)
    assert source.churn_basis == "purchase"
    assert source.model_settings()["churn_definitions"] == [
        {
            "valid_from": "0001-01-01",
            "method": "survival",
            "lost_days": 50,
            "gap_multiple": "3.00",
            "quantile": "0.90",
            "seasons": [],
            "description": "Mine",
            "description_zh": "自定",
        }
    ]


def test_versions_are_ordered_and_the_first_counts_from_the_beginning(tmp_path: Path) -> None:
    text = """\
industry: gym
churn_definition:
  - {method: season, seasons: ["11-15..01-15", 03-01..05-31], valid_from: 2024-09-01}
  - {method: cadence, gap_multiple: 2.5, valid_from: 2024-03-01}
  - {method: fixed, lost_days: 45, valid_from: 2024-06-01}
"""
    source = shop(tmp_path, text)
    settings = source.model_settings()
    assert settings["churn_basis"] == "both"
    assert settings["typical_gap_days"] == 20
    assert [
        (one["valid_from"], one["method"], one["lost_days"], one["gap_multiple"], one["seasons"])
        for one in settings["churn_definitions"]
    ] == [
        ("0001-01-01", "cadence", 60, "2.50", []),
        ("2024-06-01", "fixed", 45, "3.00", []),
        ("2024-09-01", "season", 60, "3.00", [["11-15", "01-15"], ["03-01", "05-31"]]),
    ]


@pytest.mark.parametrize(
    ("day", "method"),
    [
        (date(2020, 1, 1), "cadence"),
        (date(2024, 2, 29), "cadence"),
        (date(2024, 5, 31), "cadence"),
        (date(2024, 6, 1), "fixed"),
        (date(2030, 1, 1), "fixed"),
    ],
)
def test_version_in_force(day: date, method: str, tmp_path: Path) -> None:
    text = """\
churn_definition:
  - {method: fixed, valid_from: 2024-06-01}
  - {method: cadence, valid_from: 2024-03-01}
"""
    assert in_force(shop(tmp_path, text).churn_definitions, day).method == method


@pytest.mark.parametrize(
    "seasons",
    [
        "03-01..05-31",
        "12-24..12-24",
        "12-01..01-31",
        "01-01..12-30",
        '["01-01..06-30", "07-01..12-31"]',
        '["11-15..01-15", "01-16..02-28", "03-01..11-14"]',
    ],
)
def test_seasons_that_end(seasons: str, tmp_path: Path) -> None:
    shop(tmp_path, f"churn_definition: {{method: season, seasons: {seasons}}}\n")


# What is refused

# id, what churn_definition is, place, parts of the message
SOURCE_FAULTS = [
    ("negative days", "{method: fixed, lost_days: -30}", "churn_definition.lost_days",
     ["in the fixed definition: should be greater than or equal to 3"]),
    ("two days", "{method: fixed, lost_days: 2}", "churn_definition.lost_days", ["equal to 3"]),
    ("days without end", "{method: fixed, lost_days: 36501}", "churn_definition.lost_days",
     ["less than or equal to 36500"]),
    ("half a day", "{method: fixed, lost_days: 30.5}", "churn_definition.lost_days", ["integer"]),
    ("quantile above one", "{method: survival, quantile: 1.5}", "churn_definition.quantile",
     ["in the survival definition: should be less than 1"]),
    ("quantile of one", "{method: gap_percentile, quantile: 1}", "churn_definition.quantile",
     ["less than 1"]),
    ("quantile of nothing", "{method: survival, quantile: 0}", "churn_definition.quantile",
     ["greater than 0"]),
    ("quantile too exact", "{method: survival, quantile: 0.805}", "churn_definition.quantile",
     ["no more than 2 decimal places"]),
    ("multiple of nothing", "{method: cadence, gap_multiple: 0}", "churn_definition.gap_multiple",
     ["in the cadence definition: should be greater than 0"]),
    ("multiple too exact", "{method: cadence, gap_multiple: 2.125}",
     "churn_definition.gap_multiple", ["no more than 2 decimal places"]),
    ("unknown method", "{method: cadense}", "churn_definition.method",
     ["in the cadense definition: should be 'fixed', 'season', 'cadence', 'survival' or "
      "'gap_percentile'"]),
    ("no method", "{lost_days: 30}", "churn_definition.method", ["is missing; add it"]),
    ("unknown basis", "{method: fixed, basis: purchases}", "churn_definition.basis",
     ["'purchase', 'interaction' or 'both'"]),
    ("unknown key", "{method: fixed, lost_day: 30}", "churn_definition.lost_day",
     ["unknown key 'lost_day'; did you mean lost_days?"]),
    ("industry inside", "{method: fixed, industry: grocery}", "churn_definition.industry",
     ["unknown key 'industry'"]),
    ("impossible day", "{method: fixed, valid_from: 2024-02-30}", "churn_definition.valid_from",
     ["in the fixed definition valid from 2024-02-30:", "date"]),
    ("empty description", "{method: fixed, description: ''}", "churn_definition.description",
     ["at least 1 character"]),
    ("fixed with multiple", "{method: fixed, gap_multiple: 3}", "churn_definition.gap_multiple",
     ["is of no use to method fixed, only to cadence; remove it or change the method"]),
    ("cadence with quantile", "{method: cadence, quantile: 0.8}", "churn_definition.quantile",
     ["no use to method cadence, only to survival and gap_percentile"]),
    ("survival with seasons", "{method: survival, seasons: 03-01..05-31}",
     "churn_definition.seasons", ["no use to method survival, only to season"]),
    ("season without seasons", "{method: season}", "churn_definition.seasons",
     ["in the season definition: is required for method season; add it, for example 01-15"]),
    ("season with no season", "{method: season, seasons: []}", "churn_definition.seasons",
     ["is required"]),
    ("season without end", "{method: season, seasons: 03-01}", "churn_definition.seasons",
     ["in the season definition: the season 03-01 never ends; give its first and its last day"]),
    ("season with open end", "{method: season, seasons: 03-01..}", "churn_definition.seasons",
     ["the season 03-01.. never ends"]),
    ("season of a year", "{method: season, seasons: 03-15..03-14}", "churn_definition.seasons",
     ["the season 03-15..03-14 covers the whole year and so never ends; let it end earlier"]),
    ("season of a calendar year", "{method: season, seasons: 01-01..12-31}",
     "churn_definition.seasons", ["never ends"]),
    ("season of a year around a leap day", "{method: season, seasons: 03-01..02-28}",
     "churn_definition.seasons", ["never ends"]),
    ("season on no day", "{method: season, seasons: 02-30..04-01}", "churn_definition.seasons",
     ["there is no day 02-30; write month and day"]),
    ("season in no month", "{method: season, seasons: 12-01..13-01}", "churn_definition.seasons",
     ["there is no day 13-01"]),
    ("season on a leap day", "{method: season, seasons: 01-15..02-29}",
     "churn_definition.seasons", ["02-29 is not in every year; use 02-28"]),
    ("season in words", "{method: season, seasons: [spring]}", "churn_definition.seasons.0",
     ["'spring' is no season; write MM-DD..MM-DD"]),
    ("seasons that overlap", "{method: season, seasons: [01-15..04-15, 04-15..05-31]}",
     "churn_definition.seasons", ["01-15..04-15 and 04-15..05-31 overlap; let one end before"]),
    ("seasons that overlap over New Year",
     "{method: season, seasons: [11-15..01-15, 01-10..02-01]}", "churn_definition.seasons",
     ["11-15..01-15 and 01-10..02-01 overlap"]),
    ("no definition", "fixed", "churn_definition", ["should be a definition, such as {method:"]),
    ("list of no definitions", "[fixed]", "churn_definition", ["or a list of its versions"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "place", "parts"),
    [one[1:] for one in SOURCE_FAULTS],
    ids=[one[0] for one in SOURCE_FAULTS],
)
def test_faulty_definition_of_a_source(
    written: str, place: str, parts: list[str], tmp_path: Path
) -> None:
    message = fault(lambda: shop(tmp_path, f"churn_definition: {written}\n"))
    assert message.startswith(f"{tmp_path / 'shop.yml'}, line 12, {place}: ")
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message


# id, the versions one a line, line and field, parts of the message
VERSION_FAULTS = [
    ("same day", ["{method: fixed, valid_from: 2024-06-01}",
                  "{method: cadence, valid_from: 2024-06-01}"],
     "line 14, churn_definition.1.valid_from",
     ["in the cadence definition valid from 2024-06-01: overlaps with the fixed definition valid "
      "from 2024-06-01, for both hold from 2024-06-01 on; give each a valid_from of its own"]),
    ("two from the beginning", ["{method: fixed}", "{method: cadence}"],
     "line 14, churn_definition.1.valid_from",
     ["overlaps with the fixed definition, for both hold from the beginning on"]),
    ("another basis", ["{method: fixed, basis: purchase}",
                       "{method: fixed, basis: interaction, valid_from: 2024-06-01}"],
     "line 14, churn_definition.1.basis",
     ["in the fixed definition valid from 2024-06-01: is interaction, but purchase in the fixed "
      "definition; name the same basis in all versions"]),
    ("another basis than the industry's",
     ["{method: fixed}", "{method: fixed, basis: purchase, valid_from: 2024-06-01}"],
     "line 14, churn_definition.1.basis", ["is purchase, but both in the fixed definition"]),
    ("one of several",
     ["{method: fixed}", "{method: survival, quantile: 1.5, valid_from: 2024-06-01}"],
     "line 14, churn_definition.1.quantile",
     ["in the survival definition valid from 2024-06-01: should be less than 1"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("versions", "place", "parts"),
    [one[1:] for one in VERSION_FAULTS],
    ids=[one[0] for one in VERSION_FAULTS],
)
def test_faulty_versions_of_a_source(
    versions: list[str], place: str, parts: list[str], tmp_path: Path
) -> None:
    text = "churn_definition:\n" + "".join(f"  - {version}\n" for version in versions)
    message = fault(lambda: shop(tmp_path, text))
    assert message.startswith(f"{tmp_path / 'shop.yml'}, {place}: ")
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message
