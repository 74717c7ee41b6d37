"""Source files: the template is complete, and every mistake is answered with its mend."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from dagster_project.config import churn, sources, tiers
from dagster_project.errors import ConfigurationError
from dagster_project.paths import PROJECT_DIR, SourcePaths

TEMPLATE = PROJECT_DIR / "data" / "sources" / "template.yml"
GOOD = """\
description: A shop
kind: finished
first_day: 2024-01-01
last_day: 2024-12-31
industry: grocery
currency: USD
time_zone: America/New_York
margin_rate: 0.3
tables:
  transactions:
    files: orders.csv
    columns:
      customer_id: customer
      ordered_at: day
      amount: amount
"""


def read(folder: Path, text: str, name: str = "shop.yml") -> sources.Source:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return sources.read_source(file)


def fault(folder: Path, text: str) -> str:
    """The message about a faulty file; one line a fault, exit code 2, no traceback inside."""
    with pytest.raises(ConfigurationError) as raised:
        read(folder, text)
    assert raised.value.exit_code == 2
    assert "Traceback" not in str(raised.value)
    return str(raised.value)


def other_methods_of_template() -> list[dict[str, object]]:
    """The definitions that the template shows in comments, as only one can be in use."""
    text = TEMPLATE.read_text(encoding="utf-8")
    _, shown = text.split("# The other methods, with what each needs:\n")
    return yaml.safe_load("".join(re.findall(r"^#(   .*\n)", shown, flags=re.MULTILINE)))


def model_keys(model: type[BaseModel]) -> Iterator[str]:
    yield from (name for name in model.model_fields if name not in ("name", "path"))


@pytest.mark.parametrize(
    "model",
    [
        sources.Source,
        sources.Settings,
        sources.Limits,
        churn.DeclaredDefinition,
        sources.TableSource,
        sources.Lookup,
        sources.Input,
        sources.LineTypeRule,
        sources.ExclusionRule,
        sources.FromConstant,
        sources.FromSql,
        sources.FromLookup,
    ],
)
def test_template_explains_every_key(model: type[BaseModel]) -> None:
    def keys(node: object) -> set[str]:
        if isinstance(node, dict):
            return set(node) | {key for value in node.values() for key in keys(value)}
        return {k for one in node for k in keys(one)} if isinstance(node, list) else set()

    used = keys(yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")))
    used |= keys(other_methods_of_template())
    assert set(model_keys(model)) - used == set()


def test_template_is_valid_and_no_source_of_its_own(tmp_path: Path) -> None:
    assert sources.read_source(TEMPLATE).currency == "EUR"
    assert "template" not in sources.source_files(tmp_path)


def test_template_shows_every_method(tmp_path: Path) -> None:
    *others, by_amounts = other_methods_of_template()
    assert [one["method"] for one in others] == ["cadence", "survival", "gap_percentile", "season"]
    text = yaml.safe_dump(
        {
            "churn_definition": [{"method": "fixed"}, *others],
            "value_tiers": [{"method": "share"}, by_amounts],
        }
    )
    source = read(tmp_path, GOOD + text)
    assert {one.method for one in source.value_tiers} == set(get_args(tiers.Method))
    versions = source.churn_definitions
    assert {one.method for one in versions} == set(get_args(churn.Method))
    for name, default in (
        ("gap_multiple", churn.DEFAULT_GAP_MULTIPLE),
        ("quantile", churn.DEFAULT_QUANTILE),
    ):
        assert {getattr(one, name) for one in versions} == {default}


def test_template_names_every_industry_beside_its_days() -> None:
    text = " ".join(TEMPLATE.read_text(encoding="utf-8").replace("#", " ").split())
    for industry, (*_, preset) in churn.presets().items():
        assert re.search(rf"\b{industry}\b", text)
        if preset.method == "fixed":
            assert re.search(rf"\b{preset.lost_days}\b", text)


def test_template_names_every_default() -> None:
    source = sources.read_source(TEMPLATE)
    assert source.settings == sources.Settings()
    assert tiers.variables(source.value_tiers) == tiers.variables(())
    assert source.limits == sources.Limits()


def test_committed_sources_are_valid() -> None:
    names = list(TEMPLATE.parent.glob("*.yml"))
    assert len(names) >= 5
    for path in names:
        sources.read_source(path)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


# id, text of the file, place, parts of the message
FAULTS = [
    ("unknown key", GOOD + "curency: USD\n", "line 16, curency", ["did you mean currency?"]),
    ("unknown setting", GOOD + "settings:\n  kept_release: 3\n",
     "line 17, settings.kept_release", ["did you mean kept_releases?"]),
    ("unknown limit", GOOD + "limits: {rejected: 0}\n",
     "line 16, limits.rejected", ["did you mean rejected_share?"]),
    ("unknown table key", changed("    files:", "    delimeter: x\n    files:"),
     "line 11, tables.transactions.delimeter", ["did you mean delimiter?"]),
    ("repeated key", GOOD + "currency: EUR\n", "line 16", ["currency is repeated", "line 6"]),
    ("repeated column", GOOD + "      amount: other\n",
     "line 16", ["tables.transactions.columns.amount is repeated", "line 15"]),
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
    ("decline of nothing", GOOD + "settings: {decline_share: 0}\n",
     "line 16, settings.decline_share", ["greater than 0"]),
    ("decline of everything", GOOD + "settings: {decline_share: 1}\n",
     "line 16, settings.decline_share", ["less than 1"]),
    ("returns risen by everything", GOOD + "settings: {return_share_rise: 1}\n",
     "line 16, settings.return_share_rise", ["less than 1"]),
    ("alert worse than chance", GOOD + "settings: {alert_lift: 0.9}\n",
     "line 16, settings.alert_lift", ["greater than or equal to 1"]),
    ("limit above everything", GOOD + "settings: {false_lost_limit: 1.01}\n",
     "line 16, settings.false_lost_limit", ["less than or equal to 1"]),
    ("missing files", changed("    files: orders.csv\n", ""),
     "line 10, tables.transactions.files", ["is missing; add it"]),
    ("impossible day", changed("2024-12-31", "2024-13-45"), "line 4, last_day", ["date"]),
    ("last day missing", changed("last_day: 2024-12-31\n", ""), "the file", ["last_day is needed"]),
    ("last day of a live source", changed("finished", "live"), "the file",
     ["only there"]),
    ("days in disorder", changed("2024-12-31", "2023-12-31"), "the file",
     ["last_day is before first_day"]),
    ("unknown zone", changed("America/New_York", "America/New_Yorck"), "line 7, time_zone",
     ["did you mean America/New_York?"]),
    ("unknown zone of a table", changed("    files:", "    time_zone: Mars\n    files:"),
     "line 11, tables.transactions.time_zone", ["'Mars' is no time zone"]),
    ("date format without a year", changed("    files:", '    date_format: "%d.%m"\n    files:'),
     "line 11, tables.transactions.date_format", ["can never give a date", "%d.%m.%Y"]),
    ("date format unknown", changed("    files:", '    date_format: "%Y-%m-%d %Q"\n    files:'),
     "line 11, tables.transactions.date_format", ["is no date format"]),
    ("delimiter too long", changed("    files:", '    delimiter: "||"\n    files:'),
     "line 11, tables.transactions.delimiter", ["one character"]),
    ("no header and no names", changed("    files:", "    header: false\n    files:"),
     "line 10, tables.transactions", ["column_names are needed"]),
    ("unknown encoding", changed("    files:", "    encoding: utf-7\n    files:"),
     "line 11, tables.transactions.encoding", ["'utf-8'", "'gbk'"]),
    ("unknown table", changed("  transactions:", "  transaction:"),
     "tables", ["transactions is required"]),
    ("second unknown table", GOOD + "  customer:\n    files: x.csv\n    columns: {}\n",
     "line 16, tables.customer", ["did you mean customers?"]),
    ("unknown column", GOOD + "      quantitty: q\n",
     "line 16, tables.transactions.columns.quantitty", ["did you mean quantity?"]),
    ("derived column", GOOD + "      line_type: q\n",
     "line 16, tables.transactions.columns.line_type", ["unknown name"]),
    ("required column", changed("      ordered_at: day\n", ""),
     "line 12, tables.transactions.columns", ["ordered_at is required"]),
    ("customer column", changed("      customer_id: customer\n", ""),
     "line 12, tables.transactions.columns", ["customer_id is required"]),
    ("column in no form", GOOD + "      quantity: {colum: q}\n",
     "line 16, tables.transactions.columns.quantity", ["a list of accepted names"]),
    ("constant of no form", GOOD + "      channel: {constant: [1]}\n",
     "line 16, tables.transactions.columns.channel", ["constant"]),
    ("constant of a wrong type", GOOD + "      quantity: {constant: many}\n",
     "line 16, tables.transactions.columns.quantity", ["'many' is not a number"]),
    ("unknown lookup", GOOD + "      category: {lookup: products, column: c}\n",
     "line 16, tables.transactions.columns.category", ["unknown name 'products'"]),
    ("lookup matched with nothing", GOOD + "    lookups:\n      products:\n        files: p.csv\n"
     "        key: sku\n        match: product_id\n",
     "line 20, tables.transactions.lookups.products.match", ["map it"]),
    ("input named like a column", GOOD + "    inputs:\n      category: {column: x}\n",
     "line 17, tables.transactions.inputs.category", ["name of its own"]),
    ("expression that names nothing", GOOD + "      quantity: {sql: amounts + 1}\n",
     "line 16, tables.transactions.columns.quantity", ["`amounts + 1`", "It can use customer_id"]),
    ("expression that is no SQL", GOOD + "      quantity: {sql: 'amount +'}\n",
     "line 16, tables.transactions.columns.quantity", ["does not work"]),
    ("rule that does not work", GOOD + "    exclude:\n      - reason: x\n        when: amont > 1\n",
     "line 18, tables.transactions.exclude.0.when", ["`amont > 1`"]),
    ("line type unknown", GOOD + "    line_type:\n      - {type: refund, when: amount < 0}\n",
     "line 17, tables.transactions.line_type.0.type", ["'return'"]),
    ("key of a column not mapped", GOOD + "    key: transaction_id\n",
     "line 16, tables.transactions.key", ["unknown name 'transaction_id'"]),
    ("rules elsewhere", GOOD + "  customers:\n    files: c.csv\n    columns: {customer_id: c}\n"
     "    exclude: [{reason: x, when: 'true'}]\n",
     "tables.customers.exclude", []),
    ("unpivoted transactions", GOOD + "    unpivot: [a]\n",
     "line 16, tables.transactions.unpivot", ["not for transactions"]),
    ("tiers where they were", GOOD + "settings: {high_tier_share: 0.6}\n",
     "line 16, settings.high_tier_share", ["write value_tiers: {high: 0.6} beside settings"]),
    ("tiers in disorder", GOOD + "value_tiers: {high: 0.6}\n",
     "line 16, value_tiers", ["in the tiers by revenue and share: high must be below middle"]),
    ("tiers of equal shares", GOOD + "value_tiers: {high: 0.5}\n", "value_tiers", ["below middle"]),
    ("tiers of more than all", GOOD + "value_tiers: {high: 0.5, middle: 1}\n",
     "line 16, value_tiers", ["middle below 1"]),
    ("tiers of nothing", GOOD + "value_tiers: {high: -0.1}\n",
     "line 16, value_tiers.high", ["greater than 0"]),
    ("tiers too fine", GOOD + "value_tiers: {high: 0.12345}\n", "value_tiers", ["4 decimals"]),
    ("tiers without amounts", GOOD + "value_tiers: {method: cutoff, high: 100}\n",
     "line 16, value_tiers", ["in the tiers by revenue and cutoff: needs high and middle"]),
    ("tiers of amounts in disorder",
     GOOD + "value_tiers: {measure: margin, method: cutoff, high: 100, middle: 100}\n",
     "line 16, value_tiers", ["in the tiers by margin and cutoff: high must be above middle"]),
    ("tiers of parts of a cent", GOOD + "value_tiers: {method: cutoff, high: 1.005, middle: 1}\n",
     "line 16, value_tiers", ["2 decimals for method cutoff"]),
    ("tiers by an unknown measure", GOOD + "value_tiers: {measure: profit}\n",
     "line 16, value_tiers.measure", ["'revenue', 'margin' or 'expected_value'"]),
    ("tiers with an unknown key", GOOD + "value_tiers: {hgih: 0.1}\n",
     "line 16, value_tiers.hgih", ["did you mean high?"]),
    ("no tiers", GOOD + "value_tiers: share\n",
     "line 16, value_tiers", ["such as {method: share, high: 0.20, middle: 0.50}"]),
    ("tiers that overlap", GOOD + "value_tiers:\n"
     "  - {high: 0.1, valid_from: 2024-07-01}\n"
     "  - {measure: margin, valid_from: 2024-07-01}\n",
     "line 18, value_tiers.1.valid_from",
     ["in the tiers by margin and share valid from 2024-07-01: overlaps with"]),
    ("no YAML", GOOD + "  - x\n", "line 16", ["no YAML", "indentation"]),
    ("unquoted pattern", changed("orders.csv", "*.csv"), "line 11", ["into quotes"]),
    ("unquoted format", changed("    files:", "    date_format: %Y\n    files:"),
     "line 11", ["into quotes"]),
    ("key that is no word", GOOD + "[a]: 1\n", "line 16", ["a plain word"]),
    ("reserved key", GOOD + "name: x\n", "", ["remove them"]),
    ("a list", "- a\n", "", ["expected keys and values"]),
    ("nothing", "", "", ["expected keys and values"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_fault_names_file_line_key_and_mend(
    text: str, place: str, parts: list[str], tmp_path: Path
) -> None:
    message = fault(tmp_path, text)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(tmp_path / "shop.yml"))
    assert place in message
    for part in parts:
        assert part in message


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    message = fault(tmp_path, changed("0.3", "lots").replace("USD", "usd"))
    assert [line.split(", ")[2].split(":")[0] for line in message.splitlines()] == [
        "currency",
        "margin_rate",
    ]


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "shop.yml").write_bytes(b"description: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        sources.read_source(tmp_path / "shop.yml")


def test_name_of_a_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lower-case"):
        read(tmp_path, GOOD, "My-Shop.yml")


def test_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("Did you mean cdnow_sample?")):
        sources.load_source(SourcePaths(tmp_path, "cdnow_sampel"))


def test_sources_of_a_data_directory_come_first(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "cdnow.yml").write_text(GOOD)
    assert sources.load_source(SourcePaths(tmp_path, "cdnow")).description == "A shop"


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


def test_settings_fingerprint_follows_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(tmp_path, GOOD).settings_fingerprint()
    longer = [preset.model_copy(update={"lost_days": 91}) for preset in churn.presets()["grocery"]]
    changed_presets = churn.presets() | {"grocery": tuple(longer)}
    monkeypatch.setattr(churn, "presets", lambda: changed_presets)
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
        "alert_lift": "2",
        "false_lost_limit": "0.50",
        "score_min_buyers": 500,
        "score_min_days": 180,
        "score_min_repeat_buyers": 50,
        "discount_rate": "0.10",
        "value_tiers": [
            {
                "valid_from": "0001-01-01",
                "measure": "revenue",
                "method": "share",
                "high": "0.2000",
                "middle": "0.5000",
            }
        ],
    }
    assert json.loads(json.dumps(source.model_settings())) == source.model_settings()


def test_model_settings_of_versioned_tiers(tmp_path: Path) -> None:
    text = GOOD + (
        "value_tiers:\n"
        "  - {measure: margin, method: cutoff, high: 1E+3, middle: 200, valid_from: 2024-07-01}\n"
        "  - {high: 0.1, valid_from: 2024-02-01}\n"
    )
    source = read(tmp_path, text)
    earlier, later = source.model_settings()["value_tiers"]
    assert earlier == {
        "valid_from": "0001-01-01",
        "measure": "revenue",
        "method": "share",
        "high": "0.1000",
        "middle": "0.5000",
    }
    assert later == {
        "valid_from": "2024-07-01",
        "measure": "margin",
        "method": "cutoff",
        "high": "1000.0000",
        "middle": "200.0000",
    }
    assert source.settings_fingerprint() != read(tmp_path, GOOD).settings_fingerprint()


def test_model_settings_follow_the_file(tmp_path: Path) -> None:
    text = GOOD + (
        "settings: {client_purchase_days: 6, decline_share: 0.4, return_share_rise: .1, "
        "alert_lift: 1.5, false_lost_limit: 1}\n"
    )
    settings = read(tmp_path, text).model_settings()
    assert settings["client_purchase_days"] == 6
    assert [
        settings[name]
        for name in ("decline_share", "return_share_rise", "alert_lift", "false_lost_limit")
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
