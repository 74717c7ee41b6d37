"""Typing of values: numbers, ids, moments and business dates."""

import random
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.raw_shop import Shop, lines, open_shop


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


def test_ids_are_normalised(shop: Shop) -> None:
    ids = {"17850.0": "17850", " 17850 ": "17850", "17850.00": "17850", "17850.5": "17850.5",
           "A.0": "A.0", "007": "007", "": None, "-1.0": "-1"}  # fmt: skip
    shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
    shop.load()
    assert shop.values("customer_id") == list(ids.values())


@pytest.mark.parametrize("zone", ["", "    time_zone: UTC", "    time_zone: Asia/Tokyo"])
def test_days_that_no_calendar_has_are_rejected(zone: str, shop: Shop) -> None:
    """Python can hold none of them, and no zone can be reckoned with at the ends of time."""
    odd = ["0044-03-15 (BC)", "-0044-03-15", "0000-01-01", "10000-01-05", "290309-12-22 (BC)",
           "294247-01-10", "infinity", "-infinity"]  # fmt: skip
    good = ["0001-01-03", "2024-01-02", "9999-12-30"]
    shop.configure(table=zone)
    shop.put("f.csv", lines(*(f"a,{one},1" for one in [*odd, *good])))
    shop.load()
    assert [str(day) for day in shop.values("ordered_on")] == good
    reasons = {"ordered_at is not in a year from 1 to 9999", "ordered_at is not a date or time"}
    assert [row[1] for row in shop.rejected()] == list(range(2, 10))
    assert {row[2] for row in shop.rejected()} <= reasons
    assert shop.rejected()[0][2:] == (
        "ordered_at is not in a year from 1 to 9999", "a,0044-03-15 (BC),1"
    )  # fmt: skip


def test_days_that_no_calendar_has_in_parquet_and_expressions(shop: Shop) -> None:
    dates = ["date '0044-03-15 (BC)'", "date '5877642-06-25 (BC)'", "date 'infinity'",
             "date '2024-01-02'"]  # fmt: skip
    rows = " union all ".join(f"select 'a' as customer, {one} as day, 1 as amount" for one in dates)
    file = shop.put("f.parquet", b"")
    shop.connection.execute(f"copy ({rows}) to '{file}' (format parquet)")
    shop.load()
    assert [str(day) for day in shop.values("ordered_on")] == ["2024-01-02"]
    assert [row[1] for row in shop.rejected()] == [1, 2, 3]
    tables = """\
  customers:
    files: c.csv
    columns:
      customer_id: id
      signed_up_at: {sql: "timestamptz '0044-03-15 (BC) 00:00+00' + n * interval '1 year'"}
    inputs: {n: {column: n, type: count}}
"""
    shop.configure(files="f.parquet", tables=tables)
    shop.put("c.csv", "id,n\na,1\nb,2000\nc,99999\n")
    shop.load("customers")
    assert shop.values("customer_id", "customers") == ["b"]
    assert [row[1:3] for row in shop.rejected() if row[0] == "c.csv"] == [
        (2, "signed_up_at is not in a year from 1 to 9999"),
        (4, "signed_up_at is not in a year from 1 to 9999"),
    ]


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


@pytest.mark.parametrize("blank", ["\t", "\u00a0", "\u3000", "\u200b"])
def test_blanks_of_any_kind_stand_round_a_value(blank: str, shop: Shop) -> None:
    """A bare date with one behind it is a bare date still, which no zone shifts."""
    shop.configure(
        table='    time_zone: UTC\n    decimal: ","\n    delimiter: ";"',
        columns="      quantity: quantity",
    )
    rows = [f"a;{blank}2024-01-02{blank};1.000,50{blank};{blank}3", "a;2024-01-02T03:00:00;1;3"]
    shop.put("f.csv", "customer;day;amount;quantity\n" + "\n".join(rows) + "\n")
    shop.load()
    assert shop.rejected() == []
    assert shop.values("ordered_on::varchar") == ["2024-01-02", "2024-01-01"]
    assert shop.values("amount::varchar") == ["1000.50", "1.00"]
    assert shop.values("quantity::varchar") == ["3.000", "3.000"]
    shop.configure(
        table='    time_zone: UTC\n    date_format: "%d.%m.%Y"\n    decimal: ","\n'
        '    delimiter: ";"'
    )
    shop.put("f.csv", f"customer;day;amount\na;02.01.2024{blank};1\n")
    shop.load()
    assert shop.values("ordered_on::varchar") == ["2024-01-02"]
