"""Reading files of every declared kind."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.raw_shop import HEADER_WITH_NOTE as HEADER
from support.raw_shop import NOTE, Shop, loaded_notes, open_shop

from dagster_project.errors import ConfigurationError, WinbackError


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path, columns=NOTE) as one:
        yield one


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8", "utf-8"), ("utf-8", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16", "utf-16-le"),
     ("gbk", "gbk"), ("gbk", "gb18030"), ("latin-1", "latin-1")],
)  # fmt: skip
@pytest.mark.parametrize("is_packed", [False, True])
def test_encodings(encoding: str, codec: str, is_packed: bool, shop: Shop) -> None:
    note = "crème brûlée" if encoding == "latin-1" else "中文 客户"
    content = f"{HEADER}a,2024-01-02,1,{note}\nb,2024-01-02,x,{note}\n".encode(codec)
    shop.put("f.csv.gz" if is_packed else "f.csv", gzip.compress(content) if is_packed else content)
    shop.configure(columns=NOTE, table=f"    encoding: {encoding}")
    assert loaded_notes(shop) == [note]
    assert [row[1:] for row in shop.rejected()] == [
        (3, "amount is not a number", f"b,2024-01-02,x,{note}")
    ]
    # Copies in another encoding hold what the files hold; they do not stay.
    assert not (shop.paths.spill / "recoded").exists()


def test_undeclared_gbk_is_rejected_line_by_line(shop: Shop) -> None:
    lines = [f"c{i},2024-01-02,{i},{'中文' if i % 2 else 'ok'}" for i in range(1, 5)]
    shop.put("f.csv", HEADER.encode() + "\n".join(lines).encode("gbk"))
    assert loaded_notes(shop) == ["ok", "ok"]
    assert shop.rejected() == [
        ("f.csv", line, "not UTF-8 text; declare the file's `encoding`",
         rf"c{line - 1},2024-01-02,{line - 1},\xd6\xd0\xce\xc4")
        for line in (2, 4)
    ]  # fmt: skip
    assert shop.load_counts() == [("f.csv", 4, 2, 2)]


@pytest.mark.parametrize(
    ("name", "content", "more", "part"),
    [
        ("f.csv", HEADER.encode() + b"a,2024-01-02,1,\xff\xff\n", "    encoding: gbk",
         "is not gbk text"),
        ("f.csv", "客户,day,amount\n".encode("gbk") + b"a,2024-01-02,1\n", "", "is not utf-8 text"),
        ("f.csv", (HEADER + "a,2024-01-02,1,x\n").encode("utf-16")[:-1], "    encoding: utf-16",
         "is not utf-16 text"),
        ("f.csv.gz", gzip.compress((HEADER + "a,2024-01-02,1,x\n" * 99).encode(), mtime=0)[:60], "",
         "is damaged"),
        ("f.csv.gz", b"no gzip at all", "", "is damaged"),
        ("f.parquet", b"PAR1 and not much more", "", "cannot be read"),
        ("f.csv", "\n" + HEADER + "a,2024-01-02,1,x\n", "", "starts with a blank line"),
        ("f.csv", f'"{HEADER}' + "a,2024-01-02,1,x\n" * 9_000, "",
         "cannot be split into column names"),
    ],
)  # fmt: skip
def test_unreadable_file_leaves_raw_untouched(
    name: str, content: bytes, more: str, part: str, shop: Shop
) -> None:
    shop.put("good.csv", HEADER + "a,2024-01-02,1,x\n")
    shop.load()
    before = shop.dump()
    shop.configure(columns=NOTE, table=more)
    shop.put(name, content)
    with pytest.raises(WinbackError) as raised:
        shop.load()
    assert raised.value.exit_code == 1
    assert len(str(raised.value).splitlines()) == 1
    assert f"{name} " in str(raised.value)
    assert part in str(raised.value)
    assert shop.dump() == before


@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_truncated_parquet(kept: float, shop: Shop) -> None:
    file = shop.put("f.parquet", b"")
    shop.connection.execute(
        f"copy (select 'c' || i as customer, date '2024-01-02' as day, i as amount, '' as note "
        f"from range(5000) as r(i)) to '{file}' (format parquet)"
    )
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(WinbackError, match=r"^f\.parquet cannot be read: ") as raised:
        shop.load()
    assert raised.value.exit_code == 1
    # Its end is there, and its middle is not.
    file.write_bytes(whole[:40] + bytes(len(whole) // 2) + whole[40 + len(whole) // 2 :])
    with pytest.raises(WinbackError, match=r"^f\.parquet cannot be read: "):
        shop.load()
    assert shop.rows("from raw.loads") == []


def test_delimiters_names_and_nulls(shop: Shop) -> None:
    shop.configure(
        files="*.txt",
        columns=NOTE,
        table="    format: csv\n    delimiter: '|'\n    quote: \"'\"\n    header: false\n"
        "    column_names: [day, note, customer, amount]\n    null_values: [NA, '-']",
    )
    shop.put("f.txt", "2024-01-02|'a|b'|c1|5\n2024-01-02|NA|-|6\n2024-01-02|'''q'''|c3|NA\n")
    assert loaded_notes(shop) == ["a|b", None]
    assert shop.values("customer_id") == ["c1", None]
    assert [row[1:] for row in shop.rejected()] == [
        (3, "amount is missing", "2024-01-02|'''q'''|c3|NA")
    ]


def test_columns_set_by_blanks(shop: Shop) -> None:
    shop.configure(columns=NOTE, table="    format: csv\n    delimiter: whitespace")
    shop.put("f.csv", "  customer day  amount note\n 1   2024-01-02 5.5\tx\n\n \t\n"
             "2 2024-01-02 6\n3 2024-01-02 7 8 9\n4 2024-01-02 no y\n"
             "5 2024-01-03 8 z\n")  # fmt: skip
    assert loaded_notes(shop) == ["x", "z"]
    assert [row[1:] for row in shop.rejected()] == [
        (5, "expected 4 fields, found 3", "2 2024-01-02 6"),
        (6, "expected 4 fields, found 5", "3 2024-01-02 7 8 9"),
        (7, "amount is not a number", "4 2024-01-02 no y"),
    ]
    assert shop.load_counts() == [("f.csv", 7, 2, 3)]


def test_json_lines(shop: Shop) -> None:
    lines = [
        '{"customer": 17850.0, "day": "2024-01-02", "amount": 1.5, "note": "say \\"hi\\""}',
        "{broken",
        "",
        '{"day": "2024-01-03T10:00:00Z", "amount": "2.50", "customer": null, "more": [1]}',
        '{"customer": "c", "day": "2024-01-03", "amount": "much"}',
        "[1, 2]",
        '{"customer": "中", "day": "2024-01-03", "amount": -3}',
    ]
    shop.put("f.jsonl", "\n".join(lines))
    assert loaded_notes(shop) == ['say "hi"', None, None]
    assert shop.values("customer_id") == ["17850", None, "中"]
    assert shop.rejected() == [
        ("f.jsonl", 2, "not valid JSON", lines[1]),
        ("f.jsonl", 5, "amount is not a number", lines[4]),
        ("f.jsonl", 6, "ordered_at is missing", lines[5]),
    ]
    assert shop.load_counts() == [("f.jsonl", 7, 3, 3)]


def test_parquet_types(tmp_path: Path) -> None:
    """Data frames hold ids as doubles and missing ones as NaN."""
    with open_shop(tmp_path, zone="UTC", columns="      product_id: sku") as shop:
        for name, day in (("d", "date '2024-01-02'"), ("t", "timestamp '2024-01-02 23:30'"),
                          ("z", "timestamptz '2024-01-02 23:30:00-05'")):  # fmt: skip
            file = shop.put(f"{name}.parquet", b"")
            shop.connection.execute(
                f"copy (select * from (values (17850.0::double, {day}, 2.675::double,"
                f" 1e16::double), ('nan'::double, {day}, 1.005, 7.5), (3, {day}, 'nan', 1),"
                f" (4, null, 1, 1),"
                f" (5, {day}, 'inf', 1)) as t(customer, day, amount, sku)) to '{file}'"
            )
        shop.load()
        assert shop.values("customer_id") == ["17850", None] * 3
        assert shop.values("product_id") == ["10000000000000000", "7.5"] * 3
        assert [str(value) for value in shop.values("amount")] == ["2.68", "1.01"] * 3
        assert [str(day) for day in shop.values("ordered_on")] == (
            ["2024-01-02"] * 4 + ["2024-01-03"] * 2
        )
        assert [(row[0], *row[1:3]) for row in shop.rejected()] == [
            (f"{name}.parquet", line, reason)
            for name in "dtz"
            for line, reason in (
                (3, "amount is missing"),
                (4, "ordered_at is missing"),
                (5, "amount is not a number"),
            )
        ]


@pytest.mark.parametrize("key", ["", " ", "a.b", 'a"b', "a\\b", "a/b", "~1", "$", "*", "[0]", "客"])
def test_json_keys_may_be_anything(key: str, shop: Shop) -> None:
    """The odd key itself is read where it is mapped; an empty one cannot be."""
    note = key.strip() and key
    mapped = f"      category: {json.dumps(key, ensure_ascii=False)}" if note else ""
    shop.configure(columns=mapped)
    row = {"customer": "a", "day": "2024-01-02", "amount": 1, key: "odd", key.upper() + "X": 0}
    rows = [row, row | {"amount": "much", "AMOUNT": 1}]
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    shop.put("f.jsonl", "\n".join(lines))
    assert loaded_notes(shop) == ["odd" if note else None]
    assert shop.rejected() == [("f.jsonl", 2, "amount is not a number", lines[1])]


@pytest.mark.parametrize("separator", [",", " "])
def test_names_that_are_not_mapped_may_repeat(separator: str, shop: Shop) -> None:
    blank = "    delimiter: whitespace" if separator == " " else ""
    shop.configure(table=blank)
    lines = ["customer,x,x,X,day,amount", "a,1,2,3,2024-01-02,1", "b,1,2,3,2024-01-02,much"]
    lines = [line.replace(",", separator) for line in lines]
    shop.put("f.csv", "\n".join(lines))
    shop.load()
    assert shop.values("customer_id") == ["a"]
    assert shop.rejected() == [("f.csv", 3, "amount is not a number", lines[2])]
    # Which of two columns a mapping means cannot be known.
    shop.configure(table=blank, columns="      category: x")
    with pytest.raises(ConfigurationError, match="has several columns named x"):
        shop.load()


def test_parquet_names_may_be_anything(shop: Shop) -> None:
    shop.configure()
    columns = {"": [1, 2], "customer": ["a", "b"], "day": ["2024-01-02"] * 2, "Day": ["n", "n"],
               "amount": ["1", "much"]}  # fmt: skip
    pq.write_table(pa.table(columns), shop.put("f.parquet", b""))
    shop.load()
    assert shop.values("customer_id") == ["a"]
    ((_, line, reason, text),) = shop.rejected()
    assert (line, reason) == (2, "amount is not a number")
    assert list(json.loads(text).values()) == [2, "b", "2024-01-02", "n", "much"]


@pytest.mark.parametrize(
    ("name", "padding"), [("f.csv.gz", 1), ("f.jsonl.gz", 3), ("F.CSV.GZ", 1000)]
)
def test_packed_files_may_be_padded_with_zeros(name: str, padding: int, shop: Shop) -> None:
    """Tapes and block devices fill up their last block; gzip passes over it."""
    parts = [HEADER + "a,2024-01-02,1,one\n", "b,2024-01-02,1,two\n"]
    if "json" in name:
        parts = [
            '{"customer": "a", "day": "2024-01-02", "amount": 1, "note": "one"}\n',
            '{"customer": "b", "day": "2024-01-02", "amount": 1, "note": "two"}\n',
        ]
    packed = [gzip.compress(part.encode()) for part in parts]
    # Two packed files one after the other are one; so they are with zeros between.
    for content in (b"".join(packed), (b"\0" * padding).join([*packed, b""])):
        shop.put(name, content)
        assert loaded_notes(shop) == ["one", "two"]
        assert shop.load_counts() == [(name, 2, 2, 0)]


def test_names_with_wildcards_are_read_as_they_are(shop: Shop) -> None:
    shop.put("odd [1].csv", HEADER + "a,2024-01-02,1,one\n")
    shop.put("odd 1.csv", HEADER + "a,2024-01-02,1,other\n")
    shop.configure(files="odd [1].csv", columns=NOTE)
    assert loaded_notes(shop) == ["one"]


def test_format_that_nothing_tells(shop: Shop) -> None:
    shop.put("f.dat", HEADER)
    with pytest.raises(ConfigurationError, match=r"format of f\.dat .* declare `format: csv`"):
        shop.load()


def test_duckdb_keeps_the_order_that_record_numbers_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("n\n" + "\n".join(f"{i:0200}" for i in range(300_000)))
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        connection.execute(f"create temp table staged as from read_csv('{file}')")
        assert connection.execute("select count(*) from staged where n <> rowid").fetchone() == (0,)
