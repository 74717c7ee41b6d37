"""Reading files of every declared kind, and accounting for every line of them."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_shop import Shop, open_shop

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading import readers
from dagster_project.loading.lines import number_lines

HEADER = "customer,day,amount,note\n"
NOTE = "      category: note"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path, columns=NOTE) as one:
        yield one


def notes(shop: Shop) -> list[str | None]:
    shop.load()
    return shop.values("category")


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
    assert notes(shop) == [note]
    assert [row[1:] for row in shop.rejected()] == [
        (3, "amount is not a number", f"b,2024-01-02,x,{note}")
    ]
    # Copies in another encoding hold what the files hold; they do not stay.
    assert not (shop.paths.spill / "recoded").exists()


def test_undeclared_gbk_is_rejected_line_by_line(shop: Shop) -> None:
    lines = [f"c{i},2024-01-02,{i},{'中文' if i % 2 else 'ok'}" for i in range(1, 5)]
    shop.put("f.csv", HEADER.encode() + "\n".join(lines).encode("gbk"))
    assert notes(shop) == ["ok", "ok"]
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


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "mixed"])
@pytest.mark.parametrize("has_last_ending", [True, False])
def test_line_endings(ending: str, has_last_ending: bool, shop: Shop) -> None:
    lines = ["customer,day,amount,note", "a,2024-01-02,1,x", "b,2024-01-02", '"c",2024-01-02,3,"y"',
             "d,2024-01-02,z,w"]  # fmt: skip
    if ending == "mixed":
        text = "".join(f"{line}{end}" for line, end in zip(lines, ["\r\n", "\n"] * 3, strict=False))
    else:
        text = "".join(f"{line}{ending}" for line in lines)
    shop.put("f.csv", text if has_last_ending else text.rstrip("\r\n"))
    assert notes(shop) == ["x", "y"]
    assert [(line, text) for _, line, _, text in shop.rejected()] == [
        (3, "b,2024-01-02"),
        (5, "d,2024-01-02,z,w"),
    ]
    assert shop.load_counts() == [("f.csv", 4, 2, 2)]


def test_line_numbers_of_rejects(shop: Shop) -> None:
    shop.put("f.csv", "\n".join([
        "customer,day,amount,note",          # 1
        'a,2024-01-02,1,"two',               # 2
        'lines"',                            # 3
        "",                                  # 4
        "b,2024-01-02",                      # 5 too few fields
        "c,2024-01-02,oops,n",               # 6 no number
        'd,2024-01-02,1,"x',                 # 7
        "",                                  # 8 within a value
        'y"',                                # 9
        "e,2024-01-02,1,2,3",                # 10 too many fields
        'f,"2024-01-02',                     # 11 too few fields, over two lines
        '"',                                 # 12
        "",                                  # 13
        "g,yesterday,1,n",                   # 14 no date
        'h,2024-01-02,oops,"p',              # 15 no number, over two lines
        'q"',                                # 16
        "i,,1,n",                            # 17 no date
        "   ",                               # 18 too few fields
        "j,2024-01-02,1,last",               # 19
        "",
    ]))  # fmt: skip
    assert notes(shop) == ["two\nlines", "x\n\ny", "last"]
    assert [row[1:] for row in shop.rejected()] == [
        (5, "too few fields", "b,2024-01-02"),
        (6, "amount is not a number", "c,2024-01-02,oops,n"),
        (10, "too many fields", "e,2024-01-02,1,2,3"),
        (11, "too few fields", 'f,"2024-01-02\n"'),
        (14, "ordered_at is not a date or time", "g,yesterday,1,n"),
        (15, "amount is not a number", 'h,2024-01-02,oops,"p\nq"'),
        (17, "ordered_at is missing", "i,,1,n"),
        (18, "too few fields", "   "),
    ]
    assert shop.load_counts() == [("f.csv", 18, 3, 8)]
    assert shop.values("source_row") == [1, 3, 7]


def test_lines_of_many_files_and_buffers(shop: Shop) -> None:
    """Each file has its own line numbers, also beyond the reader's buffers and in gz files."""
    chance = random.Random(7)
    expected, good = [], 0
    padding = "p" * 300
    for name in ("f1.csv", "f2.csv.gz", "f3.csv"):
        lines = [HEADER.strip()]
        for number in range(150_000 if name == "f1.csv" else 3_000):
            kind = chance.random()
            if kind < 0.001:
                expected.append((name, len(lines) + 1, f"c{number},oops"))
                lines.append(f"c{number},oops")
            elif kind < 0.002:
                expected.append((name, len(lines) + 1, f"c{number},2024-01-02,oops,n"))
                lines.append(f"c{number},2024-01-02,oops,n")
            elif kind < 0.003:
                lines += [f'c{number},2024-01-02,1,"a', 'b"']
                good += 1
            elif kind < 0.004:
                lines.append("")
            else:
                lines.append(f"c{number},2024-01-02,1,{padding}")
                good += 1
        content = "\n".join(lines).encode()
        shop.put(name, gzip.compress(content, 1) if name.endswith(".gz") else content)
    shop.load()
    assert [(file, line, text) for file, line, _, text in shop.rejected()] == sorted(expected)
    assert shop.rows("select count(*) from raw.transactions") == [(good,)]


STRAY = [
    ("never closed", 'b,2024-01-02,1,"oops\nc,2024-01-02,2,n\nd,2024-01-02,3,n\n', "line 3"),
    ("closed by the next", 'b,2024-01-02,1,"oops\nc,2024-01-02,2,n\nd,2024-01-02,3,"n"\n',
     "line 3"),
    ("swallowing whole lines", 'b,2024-01-02,1,"oops\n' + "c,2024-01-02,2,n\n" * 60
     + 'd,2024-01-02,3,n"\n', "line 3"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "place"), [s[1:] for s in STRAY], ids=[s[0] for s in STRAY])
def test_stray_quote_that_swallows_lines_fails_the_file(
    content: str, place: str, shop: Shop
) -> None:
    shop.put("f.csv", f"{HEADER}a,2024-01-02,1,n\n{content}e,2024-01-02,4,n\n")
    with pytest.raises(WinbackError) as raised:
        shop.load()
    assert raised.value.exit_code == 1
    message = str(raised.value)
    assert message.startswith("f.csv: ")
    assert f"a stray quote in {place} swallows" in message
    assert "oops" not in message
    assert shop.dump()["loads"] == []


def test_quotes_that_swallow_nothing(shop: Shop) -> None:
    shop.put("f.csv", HEADER + 'a,2024-01-02,1,5" disk\nb,2024-01-02,1,"6"" disk"\n'
             'c,2024-01-02,1,"x"y\n')  # fmt: skip
    assert notes(shop) == ['5" disk', '6" disk']
    assert [row[1:3] for row in shop.rejected()] == [
        (4, "a quote is not closed, or stands inside a value")
    ]


def test_values_are_not_quoted_where_so_declared(shop: Shop) -> None:
    shop.configure(columns=NOTE, table='    quote: ""')
    shop.put("f.csv", HEADER + 'a,2024-01-02,1,"open\nb,2024-01-02,1,""\n')
    assert notes(shop) == ['"open', '""']


def test_delimiters_names_and_nulls(shop: Shop) -> None:
    shop.configure(
        files="*.txt",
        columns=NOTE,
        table="    format: csv\n    delimiter: '|'\n    quote: \"'\"\n    header: false\n"
        "    column_names: [day, note, customer, amount]\n    null_values: [NA, '-']",
    )
    shop.put("f.txt", "2024-01-02|'a|b'|c1|5\n2024-01-02|NA|-|6\n2024-01-02|'''q'''|c3|NA\n")
    assert notes(shop) == ["a|b", None]
    assert shop.values("customer_id") == ["c1", None]
    assert [row[1:] for row in shop.rejected()] == [
        (3, "amount is missing", "2024-01-02|'''q'''|c3|NA")
    ]


def test_columns_set_by_blanks(shop: Shop) -> None:
    shop.configure(columns=NOTE, table="    format: csv\n    delimiter: whitespace")
    shop.put("f.csv", "  customer day  amount note\n 1   2024-01-02 5.5\tx\n\n \t\n"
             "2 2024-01-02 6\n3 2024-01-02 7 8 9\n4 2024-01-02 no y\n"
             "5 2024-01-03 8 z\n")  # fmt: skip
    assert notes(shop) == ["x", "z"]
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
    assert notes(shop) == ['say "hi"', None, None]
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


def test_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing, elsewhere = tmp_path / "landing", tmp_path / "elsewhere"
    for file in (landing / "a.csv", landing / "sub" / "b.csv", landing / ".hidden.csv",
                 elsewhere / "c.csv", landing / "odd [1].csv"):  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")

    def names(*patterns: str) -> list[str]:
        return [file.name for file in readers.find_files(patterns, landing)]

    assert names("*.csv") == ["a.csv", "odd [1].csv"]
    assert names("**/*.csv", "a.csv") == ["a.csv", "odd [1].csv", "sub/b.csv"]
    assert names("odd [1].csv") == ["odd [1].csv"]
    assert names(f"{elsewhere}/*") == [str(elsewhere / "c.csv")]
    assert names("${NO_SUCH_VARIABLE:-a.csv}") == ["a.csv"]
    monkeypatch.setenv("SOME_FOLDER", str(elsewhere))
    assert names("${SOME_FOLDER}/c.csv") == [str(elsewhere / "c.csv")]
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE"):
        names("${NO_SUCH_VARIABLE}/c.csv")
    with pytest.raises(WinbackError, match=r"none\.csv is missing\. Put it there"):
        names("none.csv")
    with pytest.raises(WinbackError, match=r"package:nobody/x is missing: install"):
        names("package:nobody/x")


def test_names_with_wildcards_are_read_as_they_are(shop: Shop) -> None:
    shop.put("odd [1].csv", HEADER + "a,2024-01-02,1,one\n")
    shop.put("odd 1.csv", HEADER + "a,2024-01-02,1,other\n")
    shop.configure(files="odd [1].csv", columns=NOTE)
    assert notes(shop) == ["one"]


def test_format_that_nothing_tells(shop: Shop) -> None:
    shop.put("f.dat", HEADER)
    with pytest.raises(ConfigurationError, match=r"format of f\.dat .* declare `format: csv`"):
        shop.load()


@given(st.data())
def test_number_lines_as_a_plain_walk_does(data: st.DataObject) -> None:
    """Lay out random records, blanks and refused lines; every record must be found again."""
    header = data.draw(st.integers(0, 1))
    pieces = data.draw(st.lists(st.sampled_from(["record", "breaks", "blank inside", "other"])))
    line, record = header, 0
    expected, breaks, others = {}, [], []
    for piece in pieces:
        line += 1
        if piece == "other":
            others.append(line)
            continue
        record += 1
        expected[record] = line
        if piece != "record":
            breaks.append((record, 2))
            others += [line + 1] if piece == "blank inside" else []
            line += 2
    numbers = number_lines(header, breaks, others)
    assert {one: numbers.line_of(one) for one in expected} == expected
    assert record + 2 * len(breaks) + numbers.other_count + header == line


def test_positions_of_bytes(tmp_path: Path) -> None:
    file = tmp_path / "f.csv.gz"
    file.write_bytes(gzip.compress(b"a\nbb\n\nc"))
    assert list(readers.lines_at(file, [0, 1, 2, 4, 5, 6])) == [1, 1, 2, 2, 3, 4]
    assert readers.lines_of(file, [2, 4]) == ["bb", "c"]


def test_duckdb_keeps_the_order_that_record_numbers_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("n\n" + "\n".join(f"{i:0200}" for i in range(300_000)))
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        connection.execute(f"create temp table staged as from read_csv('{file}')")
        assert connection.execute("select count(*) from staged where n <> rowid").fetchone() == (0,)
