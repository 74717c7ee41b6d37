"""Churn definitions: presets, what a source may declare, what is refused, and the words."""

import csv
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from dagster_project.cli import main
from dagster_project.config import churn, sources
from dagster_project.errors import ConfigurationError
from dagster_project.paths import SourcePaths

SHOP = """\
description: A shop
kind: finished
first_day: 2024-01-01
last_day: 2024-12-31
currency: USD
time_zone: America/New_York
margin_rate: 0.3
tables:
  transactions:
    files: orders.csv
    columns: {customer_id: customer, ordered_at: day, amount: amount}
"""
HEADER = (
    "industry,method,basis,lost_days,gap_multiple,quantile,seasons,valid_from,description,"
    "description_zh\n"
)
DEFAULT_ROW = "default,fixed,both,183,,,,2000-01-01,Six months.,六个月。\n"


def shop(folder: Path, text: str = "", name: str = "shop.yml") -> sources.Source:
    file = folder / name
    file.write_text(SHOP + text, encoding="utf-8")
    return sources.read_source(file)


def fault(action: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as raised:
        action()
    assert raised.value.exit_code == 2
    return str(raised.value)


def presets_file(folder: Path, *rows: str) -> Path:
    file = folder / "churn_presets.csv"
    file.write_text(HEADER + DEFAULT_ROW + "".join(row + "\n" for row in rows), encoding="utf-8")
    return file


# Presets


@pytest.mark.parametrize(
    ("industry", "method", "basis", "days"),
    [
        ("restaurant", "fixed", "purchase", 30),
        ("dentist", "fixed", "purchase", 183),
        ("accountant", "season", "purchase", 365),
        ("fast_moving_goods", "fixed", "purchase", 90),
        ("grocery", "fixed", "purchase", 90),
        ("durables", "fixed", "purchase", 365),
        ("mobile_app", "fixed", "interaction", 210),
        ("default", "fixed", "both", 183),
        ("wholesale", "fixed", "purchase", 183),
        ("bookshop_and_media", "fixed", "purchase", 183),
        ("gym", "fixed", "both", 60),
        ("saas", "fixed", "both", 60),
    ],
)
def test_industry_gives_the_definition(
    industry: str, method: str, basis: str, days: int, tmp_path: Path
) -> None:
    source = shop(tmp_path, f"industry: {industry}\n")
    (definition,) = source.churn_definitions
    assert (definition.method, definition.basis, definition.lost_days) == (method, basis, days)
    assert source.churn_basis == basis


@pytest.mark.parametrize("text", ["", "industry: null\n", "industry: default\n"])
def test_source_without_industry_waits_six_months_for_either(text: str, tmp_path: Path) -> None:
    (definition,) = shop(tmp_path, text).churn_definitions
    assert churn.rule_text(definition) == (
        "lost after more than 183 days with neither a purchase nor an interaction"
    )


def test_presets_hold_always_and_are_explained_in_both_languages() -> None:
    for industry, versions in churn.presets().items():
        assert versions[0].valid_from == date(2000, 1, 1), industry
        for preset in versions:
            assert preset.description.endswith(".")
            assert preset.description_zh.endswith("。")
            assert any("\u4e00" <= sign <= "\u9fff" for sign in preset.description_zh)


def test_tax_season_has_no_threshold_in_days(tmp_path: Path) -> None:
    (definition,) = shop(tmp_path, "industry: accountant\n").churn_definitions
    assert definition.variables()["seasons"] == [["01-15", "04-15"]]
    assert churn.threshold_text(definition) == (
        "lost the day after a whole season 01-15..04-15 without a purchase; no threshold in days"
    )


def test_columns_of_the_seed_are_the_fields_of_a_preset() -> None:
    with churn.PRESETS_FILE.open(encoding="utf-8", newline="") as stream:
        columns = next(csv.reader(stream))
    assert ",".join(columns) + "\n" == HEADER
    assert set(columns) == set(churn.Preset.model_fields)


# What a source declares


def test_what_a_version_leaves_out_comes_from_the_preset(tmp_path: Path) -> None:
    text = "industry: mobile_app\nchurn_definition: {method: cadence}\n"
    (definition,) = shop(tmp_path, text).churn_definitions
    assert definition == churn.Definition(
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
    assert churn.in_force(shop(tmp_path, text).churn_definitions, day).method == method


def test_versions_of_a_preset_hold_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    presets = churn.read_presets(
        presets_file(
            tmp_path,
            "bakery,fixed,purchase,20,,,,2025-01-01,Shorter.,较短。",
            "bakery,cadence,purchase,40,2.5,,,2000-01-01,Longer.,较长。",
        )
    )
    monkeypatch.setattr(churn, "presets", lambda: presets)
    first, second = churn.resolve((), "bakery")
    assert (first.valid_from, first.method, first.description) == (date.min, "cadence", "Longer.")
    assert (second.valid_from, second.lost_days) == (date(2025, 1, 1), 20)

    declared = (
        churn.DeclaredDefinition(method="fixed"),
        churn.DeclaredDefinition(method="fixed", valid_from=date(2025, 6, 1)),
    )
    assert [one.lost_days for one in churn.resolve(declared, "bakery")] == [40, 20]


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


def test_unknown_industry_names_the_known_ones(tmp_path: Path) -> None:
    message = fault(lambda: shop(tmp_path, "industry: restaurnt\n"))
    assert "line 12, industry: no churn definition is known for the industry 'restaurnt'" in message
    assert "did you mean restaurant?" in message
    for industry in churn.presets():
        assert industry in message


# id, row of the seed, field, parts of the message
PRESET_FAULTS = [
    ("negative days", "bakery,fixed,purchase,-3,,,,2000-01-01,A.,甲。", "lost_days", "equal to 3"),
    ("no days", "bakery,fixed,purchase,,,,,2000-01-01,A.,甲。", "lost_days", "is missing; add it"),
    ("no basis", "bakery,fixed,,30,,,,2000-01-01,A.,甲。", "basis", "is missing; add it"),
    ("no valid_from", "bakery,fixed,purchase,30,,,,,A.,甲。", "valid_from", "is missing; add it"),
    ("no Chinese", "bakery,fixed,purchase,30,,,,2000-01-01,A.,", "description_zh", "is missing"),
    ("unknown method", "bakery,fix,purchase,30,,,,2000-01-01,A.,甲。", "method", "'fixed'"),
    ("quantile above one", "bakery,survival,purchase,30,,1.5,,2000-01-01,A.,甲。", "quantile",
     "should be less than 1"),
    ("unused parameter", "bakery,fixed,purchase,30,3,,,2000-01-01,A.,甲。", "gap_multiple",
     "of no use to method fixed"),
    ("season without end", "bakery,season,purchase,183,,,03-01,2000-01-01,A.,甲。", "seasons",
     "never ends"),
    ("seasons that overlap",
     "bakery,season,purchase,183,,,03-01..05-31; 05-01..06-30,2000-01-01,A.,甲。", "seasons",
     "overlap"),
    ("industry in two words", "old bakery,fixed,purchase,30,,,,2000-01-01,A.,甲。", "industry",
     "pattern"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "field", "part"), [one[1:] for one in PRESET_FAULTS], ids=[o[0] for o in PRESET_FAULTS]
)
def test_faulty_preset(row: str, field: str, part: str, tmp_path: Path) -> None:
    file = presets_file(tmp_path, row)
    message = fault(lambda: churn.read_presets(file))
    assert message.startswith(f"{file}, line 3, {field}: in the {row.split(',')[1]} definition")
    assert f"of {row.split(',')[0]}: " in message
    assert part in message
    assert len(message.splitlines()) == 1


def test_faulty_versions_of_a_preset(tmp_path: Path) -> None:
    file = presets_file(
        tmp_path,
        "bakery,fixed,purchase,30,,,,2000-01-01,A.,甲。",
        "bakery,fixed,both,40,,,,2000-01-01,A.,甲。",
    )
    overlap, basis = fault(lambda: churn.read_presets(file)).splitlines()
    assert "line 4, valid_from: in the fixed definition valid from 2000-01-01 of bakery" in overlap
    assert "line 4, basis" in basis
    assert "is both, but purchase" in basis


def test_presets_without_default(tmp_path: Path) -> None:
    file = tmp_path / "churn_presets.csv"
    file.write_text(HEADER, encoding="utf-8")
    assert "the row of industry default is missing" in fault(lambda: churn.read_presets(file))


# The words


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
    assert churn.parameters_text(definition) == parameters
    assert churn.threshold_text(definition) == threshold
    assert definition.description.endswith(".")
    assert definition.description.startswith("Lost ")
    assert definition.description_zh == f"{churn.rule_text_zh(definition)}。"
    assert "流失" in definition.description_zh


# winback sources --check


def check(
    capsys: pytest.CaptureFixture[str], data_dir: Path, *arguments: str
) -> tuple[int, str, str]:
    """Exit code, output and messages of the command."""
    code = 0
    try:
        main.main(["sources", "--check", "--data-dir", str(data_dir), *arguments])
    except SystemExit as stop:
        code = int(str(stop.code))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    return tmp_path


def test_check_prints_every_source(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop(data_dir / "sources")
    code, output, messages = check(capsys, data_dir)
    assert (code, messages) == (0, "")
    assert (
        """\
cdnow: industry bookshop_and_media, as of 1998-06-30
  method      fixed, lost_days 90
  basis       purchase
  valid_from  the beginning
  threshold   lost after more than 90 days without a purchase
"""
        in output
    )
    assert (
        """\
online_retail: industry wholesale, as of 2011-12-09
  method      fixed, lost_days 183
  basis       purchase
  valid_from  2000-01-01, and for everything before
"""
        in output
    )
    assert "shop: industry not named, as of 2024-12-31\n" in output
    assert [line.split(":")[0] for line in output.splitlines() if line[0] != " "] == list(
        sources.source_files(data_dir)
    )


def test_check_of_one_source_names_the_active_version(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
churn_definition:
  - {method: cadence, basis: purchase, lost_days: 90}
  - {method: fixed, basis: purchase, lost_days: 60, valid_from: 2024-12-31}
  - {method: season, basis: purchase, seasons: 01-15..04-15, valid_from: 2025-01-01}
"""
    shop(data_dir / "sources", text)
    code, output, _ = check(capsys, data_dir, "--source", "shop")
    assert code == 0
    assert (
        output
        == """\
shop: industry not named, as of 2024-12-31
  method      fixed, lost_days 60
  basis       purchase
  valid_from  2024-12-31
  threshold   lost after more than 60 days without a purchase
  others      cadence, gap_multiple 3.00, lost_days 90, valid from the beginning; season, \
seasons 01-15..04-15, valid from 2025-01-01 (a silence is judged by the one of the day it began)
"""
    )


def test_check_tells_every_faulty_source_and_still_checks_the_others(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (
        ("a_shop", "churn_definition: {method: survival, quantile: 1.5}\n"),
        ("shop", ""),
        ("z_shop", "industry: bakery\n"),
    ):
        (data_dir / "sources" / f"{name}.yml").write_text(SHOP + text, encoding="utf-8")
    code, output, messages = check(capsys, data_dir)
    assert code == 2
    assert "shop: industry not named" in output
    first, second, last = messages.splitlines()
    assert "a_shop.yml, line 12, churn_definition.quantile" in first
    assert "z_shop.yml, line 12, industry" in second
    assert last.endswith("sources must be corrected: a_shop, z_shop.")


def test_check_of_an_unknown_source(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, messages = check(capsys, data_dir, "--source", "cdnaw")
    assert code == 2
    assert "Did you mean cdnow?" in messages


def test_source_goes_with_check(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main.main(["sources", "--data-dir", str(data_dir), "--source", "cdnow"])
    assert stop.value.code == 2
    assert "--source goes with --check" in capsys.readouterr().err


def test_list_without_check_is_as_before(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.main(["sources", "--data-dir", str(data_dir)])
    output = capsys.readouterr().out
    assert "cdnow             1997-01-01 to 1998-06-30  USD  CDNOW, music buyers" in output
    assert "threshold" not in output


SURVIVAL = "churn_definition: {method: survival, basis: purchase, lost_days: 90}\n"


def publish(data_dir: Path, settings: dict[str, object], rows: str | None) -> None:
    """Make the smallest thing that counts as the shop's current release."""
    paths = SourcePaths(data_dir, "shop")
    release = paths.releases / "one"
    release.mkdir(parents=True)
    with duckdb.connect(str(release / "winback.duckdb")) as connection:
        if rows is not None:
            connection.execute(
                "create table churn_definitions as select * from (values "
                f"('fixed_90', 90, 90, null::varchar, date '0001-01-01'), {rows}) "
                "t(definition_id, first_time_lost_days, repeat_lost_days, note, valid_from)"
            )
    (release / "manifest.json").write_text(
        json.dumps({"as_of": "2024-12-31", "settings": settings}), encoding="utf-8"
    )
    paths.current.symlink_to(Path("releases") / "one")
    paths.published_file.symlink_to(Path("current") / "winback.duckdb")


def threshold_of_shop(capsys: pytest.CaptureFixture[str], data_dir: Path) -> str:
    code, output, messages = check(capsys, data_dir, "--source", "shop")
    assert (code, messages) == (0, "")
    return output.split("threshold   ")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("('active', 120, 75, null, date '0001-01-01')",
         "lost after more than 120 days (first-time buyers) or 75 days (repeat buyers) without a "
         "purchase, as estimated as of 2024-12-31"),
        ("('active', 90, 75, 'first-time buyers: 12 gaps, the preset holds', date '0001-01-01')",
         "lost after more than 90 days (first-time buyers) or 75 days (repeat buyers) without a "
         "purchase, as estimated as of 2024-12-31 (first-time buyers: 12 gaps, the preset holds)"),
    ],
)  # fmt: skip
def test_check_reads_the_estimate_of_the_current_release(
    row: str, expected: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = shop(data_dir / "sources", SURVIVAL).model_settings()
    publish(data_dir, settings, row)
    assert threshold_of_shop(capsys, data_dir) == expected


def test_check_takes_the_estimate_of_the_active_version(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
churn_definition:
  - {method: survival, quantile: .9}
  - {method: survival, quantile: .8, valid_from: 2024-07-01}
"""
    settings = shop(data_dir / "sources", text).model_settings()
    rows = "('active', 9, 9, null, date '0001-01-01'), ('active', 8, 7, null, date '2024-07-01')"
    publish(data_dir, settings, rows)
    assert threshold_of_shop(capsys, data_dir).startswith(
        "lost after more than 8 days (first-time buyers) or 7 days (repeat buyers) with neither"
    )


def test_check_before_the_first_run(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop(data_dir / "sources", SURVIVAL)
    assert threshold_of_shop(capsys, data_dir).startswith(
        "estimated from the data by the first run"
    )
    assert not (data_dir / "warehouse").exists()


def test_check_takes_no_estimate_of_another_definition(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    former = shop(data_dir / "sources", SURVIVAL.replace("90", "60")).model_settings()
    publish(data_dir, former, "('active', 60, 60, null, date '0001-01-01')")
    shop(data_dir / "sources", SURVIVAL)
    assert threshold_of_shop(capsys, data_dir).startswith(
        "estimated from the data by the first run"
    )


@pytest.mark.parametrize("row", [None, "('other', 1, 1, null, date '0001-01-01')"])
def test_check_of_a_release_without_the_active_definition(
    row: str | None, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(data_dir, shop(data_dir / "sources", SURVIVAL).model_settings(), row)
    assert threshold_of_shop(capsys, data_dir).startswith(
        "estimated from the data by the first run"
    )


def test_fixed_days_need_no_release(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = shop(data_dir / "sources", "industry: restaurant\n").model_settings()
    publish(data_dir, settings, "('active', 99, 99, null, date '0001-01-01')")
    assert threshold_of_shop(capsys, data_dir) == "lost after more than 30 days without a purchase"
