"""Loading into raw: typing, incremental semantics, duplicates, gates on what was loaded."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.raw_shop import Shop, open_shop

from dagster_project import warehouse
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.gates import limits, suites
from dagster_project.loading import loader, raw_tables
from dagster_project.loading.loader import DayRange

HEADER = "customer,day,amount\n"
ID = "      transaction_id: id"
NUMBER = "      quantity: quantity"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as one:
        yield one


def lines(*rows: str) -> str:
    return HEADER + "\n".join(rows) + "\n"


def day(number: int) -> date:
    return date(2024, 1, number)


# Typing


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1,50", "1.50"), ("1.234,50", "1234.50"), ("1.234.567", "1234567.00"), ("-3,005", "-3.01"),
        ("+7", "7.00"), ("0,004", "0.00"), ("12.50", None), ("1.23,4", None), ("1,2,3", None),
        ("12345,6", "12345.60"), (".5", None), ("1e3", None),
    ],
)  # fmt: skip
def test_decimal_comma(written: str, amount: str | None, shop: Shop) -> None:
    shop.configure(table='    decimal: ","\n    delimiter: ";"')
    shop.put("f.csv", f"customer;day;amount\na;2024-01-02;{written}\n")
    shop.load()
    assert [str(value) for value in shop.values("amount")] == ([amount] if amount else [])
    assert len(shop.rejected()) == (amount is None)


def test_amounts_are_rounded_once_with_the_original_beside(shop: Shop) -> None:
    chance = random.Random(3)
    written = ["1.005", "-1.005", "2.675", "0.0049", "0.005", "-0.005", "1.0049999", "99999.995"]
    written += [f"{chance.uniform(-999, 999):.{chance.randint(0, 6)}f}" for _ in range(300)]
    shop.put("f.csv", lines(*(f"a,2024-01-02,{one}" for one in written)))
    shop.load()
    cent, millionth = Decimal("0.01"), Decimal("0.000001")
    originals = [Decimal(one).quantize(millionth, ROUND_HALF_UP) for one in written]
    assert shop.values("amount_original") == originals
    assert shop.values("amount") == [one.quantize(cent, ROUND_HALF_UP) for one in originals]


def test_large_products_are_exact(shop: Shop) -> None:
    shop.configure(
        amount="{sql: quantity * price}",
        columns=NUMBER,
        table="    inputs:\n      price: {column: p, type: money}",
    )
    rows = [(2, "1.50"), (2_000_000, "1500.123456"), (-3, "0.015"), (1, "")]
    shop.put("f.csv", "customer,day,quantity,p\n"
             + "".join(f"a,2024-01-02,{count},{price}\n" for count, price in rows))  # fmt: skip
    shop.load()
    assert [str(value) for value in shop.values("amount")] == ["3.00", "3000246912.00", "-0.05"]
    assert shop.values("line_type") == ["sale", "sale", "return"]
    assert [row[1:3] for row in shop.rejected()] == [(5, "amount is missing")]


def test_ids_are_normalised(shop: Shop) -> None:
    ids = {"17850.0": "17850", " 17850 ": "17850", "17850.00": "17850", "17850.5": "17850.5",
           "A.0": "A.0", "007": "007", "": None, "-1.0": "-1"}  # fmt: skip
    shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
    shop.load()
    assert shop.values("customer_id") == list(ids.values())


CONTACTS = ["jane@example.org", "+49 30 1234567", "13800138000", "030-123456-78"]
ORDINARY = ["17850", "C-1234", "1234567890", "2024010112345", "abc"]


def test_ids_that_are_contacts_are_pseudonymised_alike_everywhere(tmp_path: Path) -> None:
    customers = """\
  customers:
    files: people/*.csv
    columns: {customer_id: id, region: region}
"""
    with open_shop(tmp_path, files="*.csv", tables=customers) as shop:
        ids = [*CONTACTS, "JANE@example.org", *ORDINARY]
        shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
        shop.put("people/p.csv", "id,region\n" + "".join(f"{one},x\n" for one in ids))
        shop.load()
        shop.load("customers")
        found = shop.values("customer_id")
        assert shop.values("customer_id", "customers") == found
        assert all(re.fullmatch("p-[0-9a-f]{24}", one) for one in found[:5])
        assert found[0] == found[4]
        assert len(set(found[:5])) == 4
        assert found[5:] == ORDINARY
        shop.load(full_refresh=True)
        assert shop.values("customer_id") == found
        shop.configure(files="*.csv", more="pseudonymise_ids: never")
        shop.load()
        assert shop.values("customer_id") == ids
        shop.configure(files="*.csv", more="pseudonymise_ids: always")
        shop.load()
        assert all(one.startswith("p-") for one in shop.values("customer_id"))
        assert shop.values("customer_id")[0] == found[0]
    with open_shop(tmp_path / "other", files="*.csv") as other:
        other.put("f.csv", lines("jane@example.org,2024-01-02,1"))
        other.load()
        assert other.values("customer_id") != found[:1]


def times(shop: Shop, *written: str, **parts: str) -> list[tuple[str, str]]:
    """Business date and UTC time of values as written; the file is named for a fresh load."""
    shop.configure(**parts)
    shop.put("f.csv", lines(*(f"a,{one},1" for one in written)))
    shop.load(full_refresh=True)
    assert shop.rejected() == []
    return list(zip(map(str, shop.values("ordered_on")), map(str, shop.values("ordered_at")),
                    strict=True))  # fmt: skip


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai", "UTC", "Pacific/Auckland",
                                  "America/Sao_Paulo"])  # fmt: skip
@pytest.mark.parametrize("file_zone", [None, "UTC", "Asia/Tokyo"])
def test_business_date_and_utc_time(zone: str, file_zone: str | None, shop: Shop) -> None:
    """A date alone is never shifted; times go to the day they are on in the source's zone."""
    here, there = ZoneInfo(zone), ZoneInfo(file_zone or zone)
    stamps = [datetime(2024, month, 10, hour, minute)
              for month in (1, 3, 7, 11) for hour in range(24) for minute in (0, 59)]  # fmt: skip
    expected = []
    for stamp in stamps:
        moment = stamp.replace(tzinfo=there)
        expected.append((str(moment.astimezone(here).date()),
                         str(moment.astimezone(ZoneInfo("UTC")).replace(tzinfo=None))))  # fmt: skip
    days = [date(2024, 1, 1) + timedelta(days=3 * number) for number in range(120)]
    for one in days:
        midnight = datetime(one.year, one.month, one.day, tzinfo=here)
        expected.append((str(one), str(midnight.astimezone(ZoneInfo("UTC")).replace(tzinfo=None))))
    table = f"    time_zone: {file_zone}" if file_zone else ""
    written = [*map(str, stamps), *map(str, days)]
    assert times(shop, *written, zone=zone, table=table) == expected
    formatted = [f"{one:%d.%m.%Y %H:%M}" for one in stamps] + [f"{one:%d.%m.%Y}" for one in days]
    formats = '    date_format: ["%d.%m.%Y %H:%M", "%d.%m.%Y"]'
    assert times(shop, *formatted, zone=zone, table=f"{table}\n{formats}") == expected


@pytest.mark.parametrize(
    ("zone", "written", "day_there"),
    [
        ("America/New_York", "2024-07-02T03:59:59Z", "2024-07-01"),
        ("America/New_York", "2024-07-02T04:00:00Z", "2024-07-02"),
        ("America/New_York", "2024-01-02T04:59:59Z", "2024-01-01"),
        ("America/New_York", "2024-01-02T05:00:00+00:00", "2024-01-02"),
        ("Asia/Shanghai", "2024-01-01T15:59:59Z", "2024-01-01"),
        ("Asia/Shanghai", "2024-01-01T16:00:00Z", "2024-01-02"),
        ("Asia/Shanghai", "2024-01-02T00:30:00+10:00", "2024-01-01"),
        # The clocks go forward and back.
        ("America/New_York", "2024-03-10T04:59:00Z", "2024-03-09"),
        ("America/New_York", "2024-03-11T03:59:00Z", "2024-03-10"),
        ("America/New_York", "2024-11-03T03:59:00Z", "2024-11-02"),
        ("America/New_York", "2024-11-04T04:59:00Z", "2024-11-03"),
    ],
)
def test_offsets_and_boundaries(zone: str, written: str, day_there: str, shop: Shop) -> None:
    moment = datetime.fromisoformat(written).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
    for file_zone in ("", "    time_zone: UTC", "    time_zone: Asia/Tokyo"):
        assert times(shop, written, zone=zone, table=file_zone) == [(day_there, str(moment))]


def test_dates_of_other_tables_are_not_shifted(tmp_path: Path) -> None:
    tables = """\
  customers:
    files: people.csv
    time_zone: UTC
    columns: {customer_id: id, signed_up_at: since}
  campaigns:
    files: campaigns.csv
    time_zone: UTC
    columns: {campaign_id: id, started_on: since}
"""
    with open_shop(tmp_path, files="f.csv", tables=tables) as shop:
        content = "id,since\n1,2024-01-02\n2,2024-01-02 03:00:00\n3,2024-01-02 06:00:00\n"
        shop.put("people.csv", content)
        shop.put("campaigns.csv", content)
        shop.load("customers")
        shop.load("campaigns")
        assert [str(one) for one in shop.values("signed_up_at", "customers")] == [
            "2024-01-02 05:00:00", "2024-01-02 03:00:00", "2024-01-02 06:00:00",
        ]  # fmt: skip
        assert [str(one) for one in shop.values("started_on", "campaigns")] == [
            "2024-01-02", "2024-01-01", "2024-01-02",
        ]  # fmt: skip


def test_rules_and_totals(tmp_path: Path) -> None:
    rules = """\
    inputs:
      status: {column: status}
    line_type:
      - {type: adjustment, when: transaction_id like 'A%'}
      - {type: return, when: transaction_id like 'R%'}
    exclude:
      - {reason: postage, when: upper(product_id) = 'POST'}
      - {reason: cancelled, when: status = 'void'}
      - {reason: broken rule, when: 1 / status::int > 1}
"""
    columns = f"{ID}\n{NUMBER}\n      product_id: sku\n      currency: money"
    chance = random.Random(5)
    rows, expected = [], Counter()
    for number in range(500):
        prefix, sku = chance.choice(["A", "R", "S", "S"]), chance.choice(["post", "P1", "P2"])
        status, quantity = chance.choice(["ok", "void"]), chance.choice([-1, 0, 2, ""])
        cents = chance.randint(-500, 5000)
        kind = {"A": "adjustment", "R": "return"}.get(
            prefix, "sale" if cents >= 0 and (quantity or 0) >= 0 else "return"
        )
        reason = "postage" if sku == "post" else "cancelled" if status == "void" else None
        expected[kind, reason] += cents
        rows.append(
            f"c,2024-01-02,{cents / 100:.2f},{prefix}{number},{quantity},{sku},{status},EUR"
        )
    with open_shop(tmp_path, columns=columns, table=rules) as shop:
        shop.put("f.csv", "customer,day,amount,id,quantity,sku,status,money\n" + "\n".join(rows))
        shop.load()
        found = shop.rows(
            "select line_type, excluded_reason, sum(amount) from raw.transactions group by all"
        )
        assert {(kind, reason): total * 100 for kind, reason, total in found} == expected
        assert set(shop.values("currency")) == {"EUR"}
        used = sum(total for (_, reason), total in expected.items() if reason is None)
        assert shop.rows("select sum(amount) * 100, sum(used_amount) * 100 from raw.load_days") == [
            (sum(expected.values()), used)
        ]
        shop.configure(columns=columns.replace("      currency: money", ""), table=rules)
        shop.load()
        assert set(shop.values("currency")) == {"USD"}


LOOKUP = """\
    lookups:
      products:
        files: products.csv
        key: sku
        match: product_id
"""


def test_lookups(tmp_path: Path) -> None:
    columns = """\
      product_id: sku
      category: {lookup: products, column: group}
      cost_amount: {lookup: products, column: cost}"""
    with open_shop(tmp_path, files="f*.csv", columns=columns, table=LOOKUP) as shop:
        shop.put("products.csv", "group,sku,cost\nfood,1.0,2.505\ndrink,2,\nodd,3,cheap\n")
        shop.put("f1.csv", "customer,day,amount,sku\n" + "".join(
            f"a,2024-01-02,1,{sku}\n" for sku in ("1", "2.0", "9", "", "3")))  # fmt: skip
        shop.load()
        assert shop.values("category") == ["food", "drink", None, None]
        assert [str(one) for one in shop.values("cost_amount")] == ["2.51", "None", "None", "None"]
        assert [row[1:3] for row in shop.rejected()] == [(6, "cost_amount is not a number")]
        assert loader.days_in(
            shop.connection, shop.source, shop.paths,
            loader.changed_files(shop.connection, shop.source, shop.paths).transactions,
        ) is None  # fmt: skip
        # A changed lookup is read again, and what the days are needs it too.
        shop.put("products.csv", "group,sku,cost\nfruit,1,1\n")
        changes = loader.changed_files(shop.connection, shop.source, shop.paths)
        assert [file.name for file in changes.transactions] == ["f1.csv"]
        assert loader.days_in(shop.connection, shop.source, shop.paths, changes.transactions) == (
            day(2),
            day(2),
        )
        shop.load()
        assert shop.values("category") == ["fruit", None, None, None, None]
        before = shop.dump()
        shop.put("products.csv", "group,sku,cost\nfruit,1,1\nnuts,1.0,1\n")
        with pytest.raises(WinbackError, match="1 values of sku stand in several rows") as raised:
            shop.load()
        assert raised.value.exit_code == 1
        shop.put("products.csv", "group,code\nfruit,1\n")
        with pytest.raises(ConfigurationError, match=r"products\.csv has no column sku"):
            shop.load()
        assert shop.dump() == before


def test_lookup_by_a_pseudonymised_id(tmp_path: Path) -> None:
    columns = "      channel: {lookup: people, column: channel}"
    table = "    lookups:\n      people: {files: p.csv, key: mail, match: customer_id}"
    with open_shop(tmp_path, files="f.csv", columns=columns, table=table) as shop:
        shop.put("p.csv", "mail,channel\njane@example.org,web\n")
        shop.put("f.csv", lines("Jane@example.org,2024-01-02,1"))
        shop.load()
        assert shop.values("channel") == ["web"]


def test_columns_turned_into_attributes(tmp_path: Path) -> None:
    tables = """\
  customer_attributes:
    files: people.csv
    unpivot: [age, town]
    columns:
      customer_id: id
      attribute: attribute
      value: value
      is_sensitive: {constant: true}
"""
    with open_shop(tmp_path, files="f.csv", tables=tables) as shop:
        shop.put("people.csv", 'id,age,town\n1,30,"A\nB"\n,40,C\n2,,D\n3\n4,,\n')
        shop.load("customer_attributes")
        assert shop.rows("select customer_id, attribute, value, is_sensitive, source_row "
                         "from raw.customer_attributes order by all") == [
            ("1", "age", "30", True, 1), ("1", "town", "A\nB", True, 1),
            ("2", "town", "D", True, 3),
        ]  # fmt: skip
        assert [row[1:3] for row in shop.rejected()] == [
            (4, "customer_id is missing"), (6, "too few fields"),
        ]  # fmt: skip


# What is wrong with files and mappings


def test_absent_column_names_file_line_key_and_mend(shop: Shop) -> None:
    shop.put("f.csv", "client,day,amount\na,2024-01-02,1\n")
    with pytest.raises(ConfigurationError) as raised:
        shop.load()
    assert raised.value.exit_code == 2
    assert str(raised.value) == (
        f"{shop.source.path}, line 14, tables.transactions.columns.customer_id: f.csv has no "
        "column customer. Its columns are client, day, amount. Correct the mapping or the file."
    )
    shop.put("f.csv", "customer,day,day,amount\na,2024-01-02,x,1\n")
    with pytest.raises(ConfigurationError, match="several columns named day"):
        shop.load()


def test_missing_files(shop: Shop) -> None:
    with pytest.raises(
        WinbackError, match=r"tables\.transactions\.files: no file matches \*\. Put"
    ):
        shop.load()
    shop.configure(files="f.csv")
    with pytest.raises(WinbackError, match=r"f\.csv is missing\. Put it there") as raised:
        shop.load()
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("content", ["", HEADER, HEADER.strip()])
def test_only_file_empty(content: str, shop: Shop) -> None:
    shop.put("f.csv", content)
    with pytest.raises(WinbackError, match=r"f\.csv holds no line of data\. Deliver") as raised:
        shop.load()
    assert raised.value.exit_code == 1
    shop.put("f.csv", lines("a,2024-01-02,1"))
    shop.load()
    before = shop.dump()
    shop.put("f.csv", content)
    with pytest.raises(WinbackError, match="holds no line"):
        shop.load()
    assert shop.dump() == before
    shop.put("g.csv", lines("b,2024-01-03,1"))
    shop.load()
    assert shop.values("customer_id") == ["b"]


def test_no_value_of_a_row_is_told(shop: Shop) -> None:
    secret = "jane.doe@example.org"
    shop.configure(table="    exclude:\n      - {reason: x, when: customer_id::int > 1}")
    shop.put("f.csv", lines(f"a,{secret},1", f"a,2024-01-02,{secret}", f"{secret},2024-01-02",
                            f'"{secret}"{secret},2024-01-02,1', "b,2024-01-02,1"))  # fmt: skip
    report = shop.load()
    assert shop.load_counts() == [("f.csv", 5, 1, 4)]
    reasons = [reason for _, _, reason, _ in shop.rejected()]
    assert not any("@" in text for text in [*reasons, *report.warnings])
    assert all(secret in text for *_, text in shop.rejected())
    for content in (f'customer,day,amount\na,2024-01-02,"{secret}\nb,2024-01-02,1\n',
                    f"{secret},2024-01-02,1\n" * 2):  # fmt: skip
        shop.put("f.csv", content)
        with pytest.raises(WinbackError) as raised:
            shop.load()
        assert "@" not in str(raised.value)
    assert "declare `header: false`" in str(raised.value)


@pytest.mark.parametrize(("broken", "is_passed"), [(50, False), (5, True), (10, True), (11, False)])
def test_share_of_broken_lines(broken: int, is_passed: bool, tmp_path: Path) -> None:
    """Of 1,000 lines: 1% pass, more block, and every broken line is told."""
    chance = random.Random(broken)
    numbers = sorted(chance.sample(range(1_000), broken))
    rows, expected = [], []
    for number in range(1_000):
        row = f"c{number},2024-01-02,{number}.25"
        if number in numbers:
            row, reason = chance.choice([
                (f"c{number},2024-01-02", "too few fields"),
                (f"c{number},2024-02-30,1", "ordered_at is not a date or time"),
                (f"c{number},2024-01-02,x", "amount is not a number"),
                (f"c{number},2024-01-02,", "amount is missing"),
                (f"c{number},2024-01-02,1,2", "too many fields"),
            ])  # fmt: skip
            expected.append(("f.csv", number + 2, reason, row))
        rows.append(row)
    with gate_shop(tmp_path) as shop:
        shop.put("f.csv", lines(*rows))
        report = shop.load()
        assert report.rejected_count == broken
        assert shop.rejected() == expected
        assert shop.load_counts() == [("f.csv", 1_000, 1_000 - broken, broken)]
        assert shop.rows("select distinct file_hash from raw.rejected_rows") == shop.rows(
            "select file_hash from raw.loads"
        )
        total = sum(Decimal(f"{n}.25") for n in range(1_000) if n not in numbers)
        assert shop.rows("select sum(amount) from raw.transactions") == [(total,)]
        outcomes = failed_gate(shop, "loads")
    assert list(outcomes) == ([] if is_passed else ["rejected_share_within_limit"])
    if not is_passed:
        line, reason = expected[0][1:3]
        observed = outcomes["rejected_share_within_limit"].observed_value
        assert observed.startswith(f"{broken / 10:.2f}% of f.csv ({broken} of 1000 lines)")
        assert f"line {line}: {reason}" in observed


# Incremental semantics


def test_same_input_again_changes_nothing(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.put("b.csv", lines("a,2024-01-03,2"))
    assert shop.load().read_files == ["a.csv", "b.csv"]
    before = shop.dump()
    assert shop.load().read_files == []
    assert shop.dump() == before
    assert not loader.changed_files(shop.connection, shop.source, shop.paths).any
    (shop.paths.landing / "a.csv").touch()
    shop.load()
    assert shop.dump() == before


def test_changed_file_replaces_exactly_its_rows(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.put("b.csv", lines("a,2024-01-03,2", "c,2024-01-02,3", "d,y,1"))
    assert shop.load().rejected_count == 2
    kept = shop.rows("from raw.transactions where source_file = 'b.csv' order by source_row")
    shop.put("a.csv", lines("z,2024-01-09,9"))
    changes = loader.changed_files(shop.connection, shop.source, shop.paths)
    assert [file.name for file in changes.transactions] == ["a.csv"]
    assert changes.present_count == 2
    report = shop.load()
    assert (report.row_count, report.read_files) == (3, ["a.csv"])
    assert (
        shop.rows("from raw.transactions where source_file = 'b.csv' order by source_row") == kept
    )
    assert shop.rejected() == [("b.csv", 4, "ordered_at is not a date or time", "d,y,1")]
    assert shop.rows("select source_file, ordered_on, row_count, batch_id from raw.load_days "
                     "order by all") == [
        ("a.csv", day(9), 1, "b2"), ("b.csv", day(2), 1, "b1"), ("b.csv", day(3), 1, "b1"),
    ]  # fmt: skip


def test_changed_mapping_is_loaded_anew(shop: Shop) -> None:
    shop.put("f.csv", "customer,day,amount,other\na,2024-01-02,1,7\n")
    shop.load()
    shop.configure(columns="      discount_amount: other")
    assert loader.changed_files(shop.connection, shop.source, shop.paths).any
    shop.load()
    assert [str(one) for one in shop.values("discount_amount")] == ["7.00"]


def test_files_with_columns_in_another_order(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1"))
    shop.put("b.csv", "amount,customer,extra,day\n2,b,x,2024-01-03\n")
    shop.put("c.csv", lines("c,2024-01-04,3"))
    shop.load()
    assert shop.rows("select customer_id, ordered_on::varchar, amount::int, source_file, "
                     "source_row from raw.transactions order by all") == [
        ("a", "2024-01-02", 1, "a.csv", 1), ("b", "2024-01-03", 2, "b.csv", 1),
        ("c", "2024-01-04", 3, "c.csv", 1),
    ]  # fmt: skip


def test_range_of_days_replaces_exactly_those(shop: Shop) -> None:
    """Then a plain load completes what the range left out."""
    old = lines(*(f"old,2024-01-0{number},1" for number in range(1, 8)))
    new = lines(*(f"new,2024-01-0{number},2" for number in range(1, 8)))
    shop.put("a.csv", old)
    shop.put("b.csv", lines("other,2024-01-03,5"))
    shop.load()
    shop.put("a.csv", new)
    shop.load(days=DayRange(day(3), day(4)))

    def content() -> list[tuple]:
        return shop.rows(
            "select ordered_on::varchar, customer_id, batch_id from raw.transactions "
            "where source_file = 'a.csv' order by all"
        )

    assert content() == [
        (f"2024-01-0{number}", "new", "b2") if number in (3, 4)
        else (f"2024-01-0{number}", "old", "b1")
        for number in range(1, 8)
    ]  # fmt: skip
    assert shop.values("customer_id").count("other") == 1
    changes = loader.changed_files(shop.connection, shop.source, shop.paths)
    assert [file.name for file in changes.transactions] == ["a.csv"]
    shop.load()
    assert {customer for _, customer, _ in content()} == {"new"}
    assert not loader.changed_files(shop.connection, shop.source, shop.paths).any


def test_range_leaves_nothing_of_a_former_content_unnoticed(shop: Shop) -> None:
    """The new content has no rows outside the range, the old one had: the file is not complete."""
    shop.put("a.csv", lines("old,2024-01-01,1", "old,2024-01-02,1"))
    shop.load()
    shop.put("a.csv", lines("new,2024-01-02,1"))
    shop.load(days=DayRange(day(2), day(2)))
    assert shop.values("customer_id") == ["old", "new"]
    assert loader.changed_files(shop.connection, shop.source, shop.paths).any
    shop.load(days=DayRange(day(2), day(2)))
    assert loader.changed_files(shop.connection, shop.source, shop.paths).any
    shop.load()
    assert shop.values("customer_id") == ["new"]


def test_days_loaded_one_by_one_make_a_whole(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-01,1", "a,2024-01-02,2", "a,2024-01-02,3", "a,x,4"))
    shop.load(days=DayRange(None, day(1)))
    assert shop.values("amount") == [1]
    shop.load(days=DayRange(day(2), day(2)))
    assert not loader.changed_files(shop.connection, shop.source, shop.paths).any
    piecemeal = shop.dump(is_content_only=True)
    shop.load(full_refresh=True)
    assert shop.dump(is_content_only=True) == piecemeal


def test_days_in_changed_files(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-05,1", "a,2024-01-02,1", "a,x,1"))
    shop.put("b.csv", "amount,day,customer\n1,2024-01-09,a\n")
    shop.put("empty.csv", "")
    files = loader.changed_files(shop.connection, shop.source, shop.paths).transactions
    assert len(files) == 3
    found = loader.days_in(shop.connection, shop.source, shop.paths, files)
    assert found == (day(2), day(9))
    assert loader.days_in(shop.connection, shop.source, shop.paths, files[2:]) is None


@pytest.mark.parametrize("days", [loader.ALL_DAYS, DayRange(day(9), None)])
def test_renamed_file_does_not_double(days: DayRange, shop: Shop) -> None:
    file = shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.load()
    before = shop.dump(is_content_only=True)
    file.rename(file.with_name("z.csv"))
    assert loader.changed_files(shop.connection, shop.source, shop.paths).any
    report = shop.load(days=days)
    assert report.warnings == ["a.csv is named z.csv now; so are its rows."]
    after = shop.dump(is_content_only=True)
    assert str(after).replace("z.csv", "a.csv") == str(before).replace("z.csv", "a.csv")
    assert shop.values("source_file") == ["z.csv"]
    assert not loader.changed_files(shop.connection, shop.source, shop.paths).any


def test_rotated_files(shop: Shop) -> None:
    """Today's content moves to yesterday's name: every row stays once."""
    today, yesterday = lines("a,2024-01-02,1"), lines("a,2024-01-01,1")
    shop.put("today.csv", today)
    shop.put("yesterday.csv", yesterday)
    shop.load()
    (shop.paths.landing / "today.csv").rename(shop.paths.landing / "yesterday.csv")
    shop.load()
    assert shop.rows("select source_file, ordered_on from raw.transactions") == [
        ("yesterday.csv", day(2))
    ]
    assert shop.load_counts() == [("yesterday.csv", 1, 1, 0)]


def test_gone_file_is_kept_with_a_warning(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "a,2024-01-03,1"))
    shop.put("b.csv", lines("b,2024-01-03,1"))
    shop.load()
    before = shop.dump()["transactions"]
    (shop.paths.landing / "a.csv").unlink()
    assert shop.load().warnings == ["a.csv has gone; its rows in raw.transactions are kept."]
    assert shop.dump()["transactions"] == before
    assert not loader.changed_files(shop.connection, shop.source, shop.paths).any
    # A full refresh keeps its rows only on days that no file has.
    shop.load(full_refresh=True)
    assert shop.rows("select source_file, ordered_on from raw.transactions order by all") == [
        ("a.csv", day(2)), ("b.csv", day(3)),
    ]  # fmt: skip
    assert shop.load_counts() == [("a.csv", 2, 1, 0), ("b.csv", 1, 1, 0)]
    shop.put("b.csv", lines("b,2024-01-02,1", "b,2024-01-03,1"))
    shop.load(full_refresh=True)
    assert shop.load_counts() == [("b.csv", 2, 2, 0)]
    assert shop.load().warnings == []


def test_gone_file_that_never_passed_leaves_raw(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "a,x,1"))
    shop.put("b.csv", lines("b,2024-01-03,1"))
    shop.load()
    (shop.paths.landing / "a.csv").unlink()
    assert shop.load().warnings == [
        "a.csv has gone; its rows were withdrawn from raw.transactions."
    ]
    assert shop.values("customer_id") == ["b"]
    assert shop.rejected() == []
    assert shop.load_counts() == [("b.csv", 1, 1, 0)]
    assert shop.rows("select source_file from raw.load_days") == [("b.csv",)]


def test_gone_file_that_comes_back(shop: Shop) -> None:
    content = lines("a,2024-01-02,1")
    shop.put("a.csv", content)
    shop.put("b.csv", lines("b,2024-01-03,1"))
    shop.load()
    before = shop.dump()
    (shop.paths.landing / "a.csv").unlink()
    shop.load()
    shop.put("a.csv", content)
    assert shop.load().warnings == []
    assert shop.dump() == before


@pytest.mark.parametrize("step", ["_replace_loads", "_reconcile", "_replace_rejected_rows"])
def test_failure_in_mid_load_rolls_everything_back(
    step: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.put("gone.csv", lines("g,2024-01-05,1"))
    shop.load()
    before = shop.dump()
    shop.put("a.csv", lines("z,2024-01-03,1"))
    shop.put("b.csv", "amount,day,customer\n1,2024-01-09,a\n")
    (shop.paths.landing / "gone.csv").unlink()
    calls = []

    def fail_on_second(self: object, *arguments: object) -> object:
        calls.append(step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    original = getattr(loader._Load, step)
    monkeypatch.setattr(loader._Load, step, fail_on_second)
    with pytest.raises(KeyboardInterrupt):
        shop.load()
    assert shop.dump() == before
    monkeypatch.undo()
    shop.load()
    assert shop.values("customer_id") == ["z", "a", "g"]


def test_table_that_is_no_longer_declared_is_emptied(tmp_path: Path) -> None:
    tables = "  customers: {files: p.csv, columns: {customer_id: id}}\n"
    with open_shop(tmp_path, files="f.csv", tables=tables) as shop:
        shop.put("p.csv", "id\n1\n\n2\n")
        shop.load("customers")
        assert shop.values("customer_id", "customers") == ["1", "2"]
        assert shop.rejected() == [("p.csv", 3, "customer_id is missing", "")]
        shop.configure(files="f.csv")
        shop.put("f.csv", lines("a,2024-01-02,1"))
        assert loader.changed_files(shop.connection, shop.source, shop.paths).any
        shop.load("customers")
        assert all(rows == [] for rows in shop.dump().values())


# Keys


def test_duplicate_keys_are_listed(tmp_path: Path) -> None:
    with open_shop(tmp_path, columns=ID, table="    key: transaction_id") as shop:
        head = "customer,day,amount,id\n"
        shop.put("a.csv", head + "a,2024-01-02,1,1\na,2024-01-02,1,2\na,2024-01-02,1,\n")
        shop.put("b.csv", head + "a,2024-01-03,1,2\na,2024-01-02,1,\na,2024-01-02,1,3.0\n"
                 "a,2024-01-02,1,3\n")  # fmt: skip
        shop.load()
        assert shop.rows("from raw.duplicate_keys order by all") == [
            ("a.csv", 2, "2"), ("b.csv", 1, "2"), ("b.csv", 3, "3"), ("b.csv", 4, "3"),
        ]  # fmt: skip
        assert shop.rows("select sum(used_amount) from raw.load_days") == [(7,)]
        shop.put("b.csv", head + "a,2024-01-03,1,4\n")
        shop.load()
        assert shop.rows("from raw.duplicate_keys") == []


KEEP_LAST = "    key: [transaction_id, customer_id]\n    duplicates: keep_last"
EXCLUDE = "\n    exclude: [{reason: void, when: amount = 13}]"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_order_of_loads_ends_alike(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order and partition of loads, raw ends as after one load of everything."""
    row = st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.integers(11, 14),
                    st.sampled_from(["1", "2", "3", ""]))  # fmt: skip
    files = data.draw(st.dictionaries(st.sampled_from(["f1", "f2", "f3"]),
                                      st.lists(row, min_size=1, max_size=6),
                                      min_size=1))  # fmt: skip
    steps = data.draw(st.permutations(sorted(files)))
    old = data.draw(st.lists(row, max_size=3))
    ranges = data.draw(st.lists(st.integers(1, 4), max_size=2))

    def text(rows: list[tuple]) -> str:
        return "customer,day,amount,id\n" + "".join(
            f"{customer},2024-01-0{number},{amount},{key}\n"
            for customer, number, amount, key in rows
        )

    parts = {"columns": ID, "table": KEEP_LAST + EXCLUDE}
    with open_shop(tmp_path_factory.mktemp("once"), **parts) as once:
        for name, rows in files.items():
            once.put(f"{name}.csv", text(rows))
        once.load()
        expected = once.dump(is_content_only=True)
    with open_shop(tmp_path_factory.mktemp("often"), **parts) as often:
        for index, name in enumerate(steps):
            if index == 0 and old:
                often.put(f"{name}.csv", text(old))
                often.load()
            often.put(f"{name}.csv", text(files[name]))
            for number in ranges:
                often.load(days=DayRange(day(number), day(number)))
            if index % 2:
                often.load()
        often.load()
        assert often.dump(is_content_only=True) == expected
    flat = [(f"{name}.csv", index, *row) for name, rows in sorted(files.items())
            for index, row in enumerate(rows, 1)]  # fmt: skip
    last = {(key, customer): (file, index) for file, index, customer, _, _, key in flat if key}
    used = sum(
        amount
        for file, index, customer, _, amount, key in flat
        if amount != 13 and (not key or last[key, customer] == (file, index))
    )
    found = sum(row[5] for row in expected["load_days"])
    assert found == used


def test_days_whose_use_changes_get_the_batch(tmp_path: Path) -> None:
    head = "customer,day,amount,id\n"
    with open_shop(tmp_path, columns=ID, table=KEEP_LAST) as shop:
        shop.put("a.csv", head + "a,2024-01-01,5,1\na,2024-01-02,7,2\n")
        shop.load()
        shop.put("b.csv", head + "a,2024-01-03,6,1\n")
        shop.load()
        days = "select source_file, day(ordered_on), amount::int, used_amount::int, batch_id " \
               "from raw.load_days order by all"  # fmt: skip
        assert shop.rows(days) == [
            ("a.csv", 1, 5, 0, "b2"), ("a.csv", 2, 7, 7, "b1"), ("b.csv", 3, 6, 6, "b2"),
        ]  # fmt: skip
        assert shop.values("excluded_reason") == [raw_tables.SUPERSEDED, None, None]
        shop.put("b.csv", head + "a,2024-01-03,6,9\n")
        shop.load()
        assert shop.rows(days)[0] == ("a.csv", 1, 5, 5, "b3")
        # Without the key nothing stays marked, not even rows of files that have gone.
        shop.put("b.csv", head + "a,2024-01-03,6,1\n")
        shop.load()
        (shop.paths.landing / "a.csv").unlink()
        shop.configure(columns=ID)
        shop.load()
        assert shop.values("excluded_reason") == [None, None, None]


# The raw gate on what was loaded


def gate_shop(folder: Path, **parts: str) -> "GateShop":
    return GateShop(folder, **parts)


class GateShop:
    """Opens a shop whose raw layer is the warehouse file, as the gate needs it."""

    def __init__(self, folder: Path, **parts: str) -> None:
        self.folder, self.parts = folder, parts

    def __enter__(self) -> Shop:
        with duckdb.connect() as connection:
            self.shop = Shop(self.folder, connection, **self.parts)
        self.open = warehouse.connect(self.shop.paths)
        self.shop.connection = self.open.__enter__()
        loader.prepare_raw(self.shop.connection)
        return self.shop

    def __exit__(self, *_: object) -> None:
        self.open.__exit__(None, None, None)


def failed_gate(shop: Shop, table: str) -> dict[str, suites.Outcome]:
    """Return the blocking outcomes of a table; the warehouse is closed meanwhile."""
    shop.connection.close()
    limits.write_limits(shop.paths, shop.source, date(2024, 12, 31), date(2025, 1, 1))
    (verdict,) = suites.validate("raw", [table], shop.paths.warehouse, "raw")
    shop.connection = duckdb.connect(str(shop.paths.warehouse))
    return {one.expectation: one for one in verdict.outcomes if one.is_blocking}


def test_no_file_twice(tmp_path: Path) -> None:
    tables = "  customers: {files: '*.txt', format: csv, columns: {customer_id: customer}}\n"
    with gate_shop(tmp_path, files="*.csv", tables=tables) as shop:
        content = lines("a,2024-01-02,1", "b,2024-01-03,1")
        for name in ("empty1.csv", "empty2.csv"):
            shop.put(name, HEADER)
        # The same file may serve two tables.
        shop.put("a.txt", content)
        shop.put("a.csv", content)
        shop.load()
        shop.load("customers")
        assert failed_gate(shop, "loads") == {}
        shop.put("copy.csv", content)
        shop.load()
        outcomes = failed_gate(shop, "loads")
        assert list(outcomes) == ["no_file_twice"]
        assert outcomes["no_file_twice"].observed_value == "1 of 2 files are copies"
        assert outcomes["no_file_twice"].example_ids == ("a.csv = copy.csv",)
        (shop.paths.landing / "a.csv").unlink()
        shop.load()
        assert failed_gate(shop, "loads") == {}
        assert shop.values("customer_id") == ["a", "b"]


@pytest.mark.parametrize(("present", "is_passed"), [(1, True), (2, False), (10, False)])
def test_no_day_delivered_twice(present: int, is_passed: bool, tmp_path: Path) -> None:
    with gate_shop(tmp_path) as shop:
        shop.put("old.csv", lines(*["a,2024-01-02,1"] * 10, "a,2024-01-03,1"))
        shop.load()
        (shop.paths.landing / "old.csv").unlink()
        shop.put("new.csv", lines(*["a,2024-01-02,2"] * present, "a,2024-01-04,1"))
        shop.load()
        outcomes = failed_gate(shop, "load_days")
        assert list(outcomes) == ([] if is_passed else ["no_day_delivered_twice"])
        if not is_passed:
            outcome = outcomes["no_day_delivered_twice"]
            assert outcome.observed_value == (
                f"2024-01-02: 10 lines of gone files, {present} of present ones"
            )
            assert outcome.example_ids == ("2024-01-02",)
            assert "--full-refresh" in outcome.mend
        shop.load(full_refresh=True)
        assert failed_gate(shop, "load_days") == {}
        assert shop.rows("select ordered_on, count(*) from raw.transactions group by all "
                         "order by all") == [
            (day(2), present), (day(3), 1), (day(4), 1),
        ]  # fmt: skip
