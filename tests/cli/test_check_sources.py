"""`winback check`: the active definition and what it comes to, values of rules, faults."""

import json
from pathlib import Path

import duckdb
import pytest
from support.churn_shop import SHOP, shop
from support.small_source import GOOD

from dagster_project.cli import main
from dagster_project.config.source import source_files
from dagster_project.paths import SourcePaths


def check(
    capsys: pytest.CaptureFixture[str], data_dir: Path, *arguments: str
) -> tuple[int, str, str]:
    """Exit code, output and messages of the command."""
    code = 0
    try:
        main.main(["check", "--data-dir", str(data_dir), *arguments])
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
        source_files(data_dir)
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


@pytest.mark.parametrize(
    ("former", "present"),
    [(["sources", "--check"], "`winback check`"), (["run", "--publish"], "`--make-current`")],
)
def test_the_former_name_is_answered_with_the_new_one(
    former: list[str], present: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main.main([*former, "--data-dir", str(data_dir)])
    assert stop.value.code == 2
    assert present in capsys.readouterr().err


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
        json.dumps({"as_of_date": "2024-12-31", "settings": settings}), encoding="utf-8"
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


RULES = """\
    inputs:
      state: {column: state}
      mail: {column: mail}
      buyer: {column: customer}
      shown_name: {column: name}
    lookups:
      goods: {files: goods.txt, format: csv, key: sku, match: product_id, encoding: gbk}
    exclude:
      - {reason: cancelled, when: "state = 'cancelled' or lower(channel) like 'test%'"}
      - {reason: ours, when: "mail like '%@shop.example' or buyer = 'x' or customer_id = 'y'"}
      - {reason: gift, when: "category = '礼品' or amount = 0"}
      - {reason: test, when: "shown_name = 'Test' or store_id = 'Z'"}
    columns:
      product_id: sku
      category: {lookup: goods, column: group}
      channel: {sql: "state || '-' || product_id"}
      store_id: {sql: "left(buyer, 1)"}
"""


def test_check_lists_the_values_that_rules_look_at(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each spelling as a rule sees it; what names a person is not listed, however it is mapped."""
    text = GOOD.replace("orders.csv", "'*.csv'").replace("    columns:\n", RULES)
    (data_dir / "sources" / "shop.yml").write_text(text, encoding="utf-8")
    landing = SourcePaths(data_dir, "shop").landing
    landing.mkdir(parents=True)
    states = ["paid"] * 30 + ["Cancelled ", "cancelled\t"] + [f"s{n:02}" for n in range(25)]
    rows = [f"c{n % 9},2024-01-02,1,{state},c{n}@mail.example,Roe {n},P{n % 2}"
            for n, state in enumerate(states)]  # fmt: skip
    header = "customer,day,amount,state,mail,name,sku"
    for name, some in (("a.csv", rows[:20]), ("b.csv", rows[20:])):
        (landing / name).write_text("\n".join([header, *some]) + "\n")
    (landing / "goods.txt").write_bytes("sku,group\nP0,礼品\n".encode("gbk"))
    # Two customers of each of the states, or they might be names.
    second = [row.replace(",2024", "x,2024", 1) for row in rows[30:]]
    (landing / "c.csv").write_text("\n".join([header, *second]) + "\n")
    code, output, messages = check(capsys, data_dir, "--source", "shop")
    assert (code, messages) == (0, "")
    listing = output[output.index("  values") :]
    blocks = {
        one.split(":")[0]: one.splitlines()[1:] for one in listing.split("  values      ")[1:]
    }
    personal = ["buyer", "customer_id", "mail", "shown_name", "store_id"]
    assert [*blocks] == sorted([*personal, "category", "channel", "state"])
    assert [line.split() for line in blocks["category"]] == [["'礼品'", "43"], ["none", "41"]]
    state = [line.split() for line in blocks["state"]]
    assert state[0] == ["'paid'", "30"]
    assert state[1:3] == [["'Cancelled'", "2"], [r"'cancelled\t'", "2"]]
    assert state[-1] == ["and", "8", "more"] and len(state) == 21
    assert all(blocks[name] == [] for name in personal)
    assert "Roe" not in output and "@" not in output and "c1" not in output
    # Nothing is left behind.
    assert sorted(one.name for one in data_dir.iterdir()) == ["landing", "sources"]
    (landing / "c.csv").write_text("customer,day,amount\na,2024-01-02,1\n")
    code, _, messages = check(capsys, data_dir, "--source", "shop")
    assert code == 2
    assert "c.csv has no column " in messages
