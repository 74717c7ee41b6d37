"""What holds for an industry: the presets, their own checks, and what a source takes from them."""

import csv
from datetime import date
from pathlib import Path

import pytest
from support.churn_shop import fault, shop

from dagster_project.config import churn_presets
from dagster_project.config.churn import DeclaredDefinition
from dagster_project.config.churn_words import rule_text, threshold_text

HEADER = (
    "industry,method,basis,lost_days,gap_multiple,quantile,seasons,valid_from,description,"
    "description_zh\n"
)
DEFAULT_ROW = "default,fixed,both,183,,,,2000-01-01,Six months.,六个月。\n"


def presets_file(folder: Path, *rows: str) -> Path:
    file = folder / "churn_presets.csv"
    file.write_text(HEADER + DEFAULT_ROW + "".join(row + "\n" for row in rows), encoding="utf-8")
    return file


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
    assert rule_text(definition) == (
        "lost after more than 183 days with neither a purchase nor an interaction"
    )


def test_presets_hold_always_and_are_explained_in_both_languages() -> None:
    for industry, versions in churn_presets.presets().items():
        assert versions[0].valid_from == date(2000, 1, 1), industry
        for preset in versions:
            assert preset.description.endswith(".")
            assert preset.description_zh.endswith("。")
            assert any("\u4e00" <= sign <= "\u9fff" for sign in preset.description_zh)


def test_tax_season_has_no_threshold_in_days(tmp_path: Path) -> None:
    (definition,) = shop(tmp_path, "industry: accountant\n").churn_definitions
    assert definition.variables()["seasons"] == [["01-15", "04-15"]]
    assert threshold_text(definition) == (
        "lost the day after a whole season 01-15..04-15 without a purchase; no threshold in days"
    )


def test_columns_of_the_seed_are_the_fields_of_a_preset() -> None:
    with churn_presets.PRESETS_FILE.open(encoding="utf-8", newline="") as stream:
        columns = next(csv.reader(stream))
    assert ",".join(columns) + "\n" == HEADER
    assert set(columns) == set(churn_presets.Preset.model_fields)


def test_versions_of_a_preset_hold_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    presets = churn_presets.read_presets(
        presets_file(
            tmp_path,
            "bakery,fixed,purchase,20,,,,2025-01-01,Shorter.,较短。",
            "bakery,cadence,purchase,40,2.5,,,2000-01-01,Longer.,较长。",
        )
    )
    monkeypatch.setattr(churn_presets, "presets", lambda: presets)
    first, second = churn_presets.resolve((), "bakery")
    assert (first.valid_from, first.method, first.description) == (date.min, "cadence", "Longer.")
    assert (second.valid_from, second.lost_days) == (date(2025, 1, 1), 20)

    declared = (
        DeclaredDefinition(method="fixed"),
        DeclaredDefinition(method="fixed", valid_from=date(2025, 6, 1)),
    )
    assert [one.lost_days for one in churn_presets.resolve(declared, "bakery")] == [40, 20]


def test_unknown_industry_names_the_known_ones(tmp_path: Path) -> None:
    message = fault(lambda: shop(tmp_path, "industry: restaurnt\n"))
    assert "line 12, industry: no churn definition is known for the industry 'restaurnt'" in message
    assert "did you mean restaurant?" in message
    for industry in churn_presets.presets():
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
    message = fault(lambda: churn_presets.read_presets(file))
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
    overlap, basis = fault(lambda: churn_presets.read_presets(file)).splitlines()
    assert "line 4, valid_from: in the fixed definition valid from 2000-01-01 of bakery" in overlap
    assert "line 4, basis" in basis
    assert "is both, but purchase" in basis


def test_presets_without_default(tmp_path: Path) -> None:
    file = tmp_path / "churn_presets.csv"
    file.write_text(HEADER, encoding="utf-8")
    assert "the row of industry default is missing" in fault(
        lambda: churn_presets.read_presets(file)
    )
