"""Every line of a file is accounted for, with its number."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.raw_shop import HEADER_WITH_NOTE as HEADER
from support.raw_shop import NOTE, Shop, loaded_notes, open_shop

from dagster_project.loading.text_files import LONGEST_LINE


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path, columns=NOTE) as one:
        yield one


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
    assert loaded_notes(shop) == ["x", "y"]
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
    assert loaded_notes(shop) == ["two\nlines", "x\n\ny", "last"]
    doubt = (
        "lines 11 to 12 may be one record or several: a number, date or id would hold a line break"
    )
    assert [row[1:] for row in shop.rejected()] == [
        (5, "too few fields", "b,2024-01-02"),
        (6, "amount is not a number", "c,2024-01-02,oops,n"),
        (10, "too many fields", "e,2024-01-02,1,2,3"),
        (11, f"{doubt}. Close, double or remove the quote in line 11", 'f,"2024-01-02'),
        (12, f"{doubt}. Close, double or remove the quote in line 11", '"'),
        (14, "ordered_at is not a date or time", "g,yesterday,1,n"),
        (15, "amount is not a number", 'h,2024-01-02,oops,"p\nq"'),
        (17, "ordered_at is missing", "i,,1,n"),
        (18, "too few fields", "   "),
    ]
    assert shop.load_counts() == [("f.csv", 18, 3, 9)]
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
    ("never closed", 'b,2024-01-02,1,"oops\nc,2024-01-02,2,n\nd,2024-01-02,3,n\n', 4),
    ("closed by the next", 'b,2024-01-02,1,"oops\nc,2024-01-02,2,n\nd,2024-01-02,3,"n"\n', 3),
    ("swallowing whole lines", 'b,2024-01-02,1,"oops\n' + "c,2024-01-02,2,n\n" * 60
     + 'd,2024-01-02,3,n"\n', 62),
]  # fmt: skip


@pytest.mark.parametrize(("content", "count"), [s[1:] for s in STRAY], ids=[s[0] for s in STRAY])
def test_lines_a_stray_quote_swallows_are_rejected_each(
    content: str, count: int, shop: Shop
) -> None:
    after = "e,2024-01-02,4,n\n"
    shop.put("f.csv", f"{HEADER}a,2024-01-02,1,n\n{content}{after}")
    shop.load()
    rejected = shop.rejected()
    assert [row[1] for row in rejected] == list(range(3, 3 + count))
    assert [row[3] for row in rejected] == (content + after).split("\n")[:count]
    assert all("the quote in line 3" in reason for _, _, reason, _ in rejected)
    assert not any("oops" in reason for _, _, reason, _ in rejected)


def test_quotes_that_swallow_nothing(shop: Shop) -> None:
    shop.put("f.csv", HEADER + 'a,2024-01-02,1,5" disk\nb,2024-01-02,1,"6"" disk"\n'
             'c,2024-01-02,1,"x"y\n')  # fmt: skip
    assert loaded_notes(shop) == ['5" disk', '6" disk']
    assert [row[1:3] for row in shop.rejected()] == [
        (4, "a quote is not closed, or stands inside a value")
    ]


def test_values_are_not_quoted_where_so_declared(shop: Shop) -> None:
    shop.configure(columns=NOTE, table='    quote: ""')
    shop.put("f.csv", HEADER + 'a,2024-01-02,1,"open\nb,2024-01-02,1,""\n')
    assert loaded_notes(shop) == ['"open', '""']


LONG = "x" * 2_000_001


@pytest.mark.parametrize("table", ["", "    delimiter: whitespace"])
def test_a_line_that_is_too_long_is_rejected_alone(table: str, shop: Shop) -> None:
    """Also one beyond the reader's buffer of 32 MB, which it would lose without a word."""
    shop.configure(columns=NOTE, table=table)
    rows = [
        HEADER.strip(),
        "a,2024-01-02,1,n",
        f"{LONG * 17},2024-01-02,1,n",
        "b,2024-01-02,1,n",
        f"c,2024-01-02,1,{LONG}",
        "",
        "d,2024-01-02,much,n",
        f"e,2024-01-02,1,{LONG}",
    ]
    if "whitespace" in table:
        rows = [row.replace(",", " ") for row in rows]
    shop.put("f.csv", "\n".join(rows))
    shop.load()
    assert shop.values("customer_id") == ["a", "b"]
    assert [row[1:3] for row in shop.rejected()] == [
        (3, "the line is longer than 2 MB"),
        (5, "the line is longer than 2 MB"),
        (7, "amount is not a number"),
        (8, "the line is longer than 2 MB"),
    ]
    # What it begins with is enough to find it by.
    assert [row[3] for row in shop.rejected()] == [rows[number][:10_000] for number in (2, 4, 6, 7)]
    assert shop.load_counts() == [("f.csv", 7, 2, 4)]


def test_records_that_are_too_long(shop: Shop) -> None:
    """JSON, blanks, a value of several lines; and the longest line that there may be."""
    shop.configure(columns=NOTE, table="    maximum_line_breaks: 5")
    longest = f"{LONG[:-26]},2024-01-02,1,n"
    assert len(longest) == LONGEST_LINE
    shop.put("f.csv", f'{HEADER}a,2024-01-02,1,"{LONG[:-50]}\n{LONG[:50]}"\nb,2024-01-02,1,n\n'
             f'c,2024-01-02,1,"m\n{LONG}\n"\n{longest}\n'
             f'd,2024-01-02,1,"{LONG}\n"\ne,2024-01-02,1,"{LONG}"\n')  # fmt: skip
    json = '{{"customer": "{}", "day": "2024-01-02", "amount": 1, "note": "j"}}\n'
    shop.put("g.jsonl", json.format("d") + json.format(LONG) + f"{' ' * 2_000_001}\n")
    assert loaded_notes(shop) == ["n", "n", "j"]
    reasons = [(file, line, reason.partition(". ")[0]) for file, line, reason, _ in shop.rejected()]
    assert reasons == [
        ("f.csv", 2, "lines 2 to 3 may be one record or several: it is longer than 2 MB"),
        ("f.csv", 3, "lines 2 to 3 may be one record or several: it is longer than 2 MB"),
        *(
            ("f.csv", line, "lines 5 to 7 may be one record or several: it is longer than 2 MB")
            for line in (5, 6, 7)
        ),
        ("f.csv", 9, "lines 9 to 10 may be one record or several: it is longer than 2 MB"),
        ("f.csv", 10, "lines 9 to 10 may be one record or several: it is longer than 2 MB"),
        ("f.csv", 11, "the line is longer than 2 MB"),
        ("g.jsonl", 2, "the line is longer than 2 MB"),
        ("g.jsonl", 3, "the line is longer than 2 MB"),
    ]
    assert shop.load_counts() == [("f.csv", 10, 2, 8), ("g.jsonl", 3, 1, 2)]
