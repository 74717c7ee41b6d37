"""The same sale in two files: what the raw gate blocks, and what only looks like it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.gate_shop import failed_outcomes, gate_shop
from support.raw_shop import ID, Shop, lines, open_shop

from dagster_project.loading import repeated_lines

BLOCKED, WARNED = "no_lines_delivered_twice", "no_line_in_two_files"
SIMILAR = "no_similar_lines_in_two_files"
STORE = ID + "\n      store_id: shop"
ALLOWED = "    repeated_lines: allowed"


def with_ids(*rows: str) -> str:
    """Return the text of a file of `id,customer,day,amount`."""
    return "id,customer,day,amount\n" + "".join(f"{row}\n" for row in rows)


def with_shops(*rows: str) -> str:
    """Return the text of a file of `id,customer,day,amount,shop`."""
    return "id,customer,day,amount,shop\n" + "".join(f"{row}\n" for row in rows)


def numbered(first: int, last: int, *, days: int = 28) -> list[str]:
    """Return lines with those ids, one after the other over the days of January."""
    return [f"{n},c{n % 7},2024-01-{n % days + 1:02},{n}.50" for n in range(first, last + 1)]


def without_ids(number: int, count: int, *, amount: int = 1) -> list[str]:
    """Return that many lines without ids of that day of January, each of another customer."""
    return [f"c{one},2024-01-{number:02},{amount + one}.25" for one in range(count)]


ORDERS = numbered(1, 56)
OVERLAPPING = (with_ids("1,a,2024-01-01,10", "2,b,2024-01-02,20"),
               with_ids("1,a,2024-01-01,10", "2,b,2024-01-02,20", "3,c,2024-01-03,30"))  # fmt: skip
CUMULATIVE = (with_ids("1,a,2024-01-01,10", "2,b,2024-01-31,20"),
              with_ids("1,a,2024-01-01,10", "2,b,2024-01-31,20", "3,b,2024-02-01,20"))  # fmt: skip
FIVE, SIX = without_ids(2, 5), without_ids(3, 6)

# id, columns, files, what the first words of the verdict are
BLOCKS = [
    ("overlapping exports", ID, OVERLAPPING, "2 of 2 lines of f0.csv (100%) stand again in f1.csv"),
    ("cumulative exports", ID, CUMULATIVE, "2 of 2 lines of f0.csv (100%) stand again in f1.csv"),
    ("three cumulative exports", ID,
     [with_ids(*ORDERS[:20]), with_ids(*ORDERS[:40]), with_ids(*ORDERS)],
     "40 of 40 lines of f1.csv (100%) stand again in f2.csv"),
    ("reversed copy", ID, [with_ids(*ORDERS), with_ids(*reversed(ORDERS))],
     "56 of 56 lines of f0.csv (100%) stand again in f1.csv"),
    ("overlapping months", ID,
     [with_ids(*[r for r in ORDERS if int(r.split("-")[2][:2]) <= 20]),
      with_ids(*[r for r in ORDERS if int(r.split("-")[2][:2]) >= 10])],
     "22 of 22 lines of f1.csv (100%) stand again in f0.csv"),
    ("half of the smaller file", ID,
     [with_ids("1,a,2024-01-01,1", "2,a,2024-01-01,1"),
      with_ids("1,a,2024-01-01,1", "3,a,2024-01-01,1", "4,a,2024-01-01,1")],
     "1 of 2 lines of f0.csv (50%) stand again in f1.csv"),
    ("lines of an order that are equal in the file", ID,
     [with_ids(*["1,a,2024-01-01,1"] * 3), with_ids(*["1,a,2024-01-01,1"] * 2)],
     "2 of 2 lines of f1.csv (100%) stand again in f0.csv"),
    ("whole days without ids", "", [lines(*FIVE, *SIX), lines(*SIX[::-1], *FIVE[::-1])],
     "11 of 11 lines of f0.csv (100%) stand again in f1.csv"),
    ("a day without ids and a day of its own", "",
     [lines(*FIVE), lines(*FIVE, *without_ids(9, 30))],
     "5 of 5 lines of f0.csv (100%) stand again in f1.csv"),
    ("the day so far, and the whole day, without ids", "",
     [lines(*SIX), lines(*SIX, "late,2024-01-03,99")],
     "6 of 6 lines of f0.csv (100%) stand again in f1.csv"),
    ("a day of lines without customers", "",
     [lines(*[",2024-01-02,3"] * 5), lines(*[",2024-01-02,3.00"] * 5)],
     "5 of 5 lines of f0.csv (100%) stand again in f1.csv"),
    ("another file that restates the ids as a spreadsheet writes them", ID,
     [with_ids("1,a,2024-01-01,10"), with_ids("1.0,a,2024-01-01,10.00")],
     "1 of 1 lines of f0.csv (100%) stand again in f1.csv"),
]  # fmt: skip

PASSES = [
    ("two equal lines in one file", "", [lines("a,2024-01-02,5", "a,2024-01-02,5")]),
    ("equal lines of an order in one file", ID, [with_ids(*["1,a,2024-01-02,5"] * 6)]),
    ("the same basket on two days", "",
     [lines(*without_ids(2, 9)), lines(*without_ids(3, 9))]),
    ("receipt numbers that restart", ID,
     [with_ids("1,a,2024-01-01,10", "2,b,2024-01-01,20"),
      with_ids("1,c,2024-01-01,12", "2,b,2024-01-01,25")]),
    ("receipt numbers that restart every day", ID,
     [with_ids("1,a,2024-01-01,10", "2,b,2024-01-01,20"),
      with_ids("1,a,2024-01-02,10", "2,b,2024-01-02,20")]),
    ("shops that share receipt numbers", STORE,
     [with_shops("1,,2024-01-01,10,north", "2,,2024-01-01,20,north"),
      with_shops("1,,2024-01-01,10,south", "2,,2024-01-01,20,south")]),
    ("four lines of a day without ids", "",
     [lines(*without_ids(2, 4)), lines(*without_ids(2, 4), *without_ids(3, 40))]),
    ("days without ids of which one line differs", "",
     [lines(*without_ids(2, 9), "x,2024-01-02,1"), lines(*without_ids(2, 9), "x,2024-01-02,2")]),
    ("few anonymous lines like those of a larger shop", "",
     [lines(*[",2024-01-02,3"] * 5), lines(*[",2024-01-02,3"] * 9)]),
]  # fmt: skip


def put(shop: Shop, files: Sequence[str]) -> None:
    """Put the files into the landing folder as f0.csv, f1.csv …"""
    for number, content in enumerate(files):
        shop.put(f"f{number}.csv", content)


@pytest.mark.parametrize(
    ("columns", "files", "observed"), [one[1:] for one in BLOCKS], ids=[one[0] for one in BLOCKS]
)
def test_lines_of_two_files_block(
    columns: str, files: Sequence[str], observed: str, tmp_path: Path
) -> None:
    with gate_shop(tmp_path, columns=columns) as shop:
        put(shop, files)
        shop.load()
        outcomes = failed_outcomes(shop, "repeated_lines")
        assert list(outcomes) == [BLOCKED]
        assert outcomes[BLOCKED].is_blocking
        assert outcomes[BLOCKED].observed_value == observed
        for part in ("`key`", "`duplicates: keep_last`", "`repeated_lines: allowed`", "remove"):
            assert part in outcomes[BLOCKED].remedy
        shop.configure(columns=columns, table=ALLOWED)
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}


@pytest.mark.parametrize(
    ("columns", "files"), [one[1:] for one in PASSES], ids=[one[0] for one in PASSES]
)
def test_what_only_looks_alike_passes(columns: str, files: Sequence[str], tmp_path: Path) -> None:
    with gate_shop(tmp_path, columns=columns) as shop:
        put(shop, files)
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}


def test_less_than_half_is_a_warning(tmp_path: Path) -> None:
    """Days that only one of the files holds are no part of the share."""
    with gate_shop(tmp_path, columns=ID) as shop:
        shop.put("a.csv", with_ids(*[f"a{n},c,2024-01-02,1" for n in range(2)], "x,c,2024-01-02,1",
                                   *[f"o{n},c,2024-01-03,1" for n in range(90)]))  # fmt: skip
        shop.put("b.csv", with_ids("x,c,2024-01-02,1", *[f"b{n},c,2024-01-02,1" for n in range(9)]))
        shop.load()
        outcomes = failed_outcomes(shop, "repeated_lines")
        assert list(outcomes) == [WARNED]
        assert not outcomes[WARNED].is_blocking
        assert outcomes[WARNED].observed_value == "1 of 3 lines of a.csv (33%) stand again in b.csv"
        assert outcomes[WARNED].unexpected_count == 1


def test_days_of_few_lines_without_ids_are_a_warning_together(tmp_path: Path) -> None:
    """A shop with three lines a day may be doubled as well."""
    content = [row for number in (2, 3) for row in without_ids(number, 3)]
    with gate_shop(tmp_path) as shop:
        put(shop, [lines(*content), lines(*content, "z,2024-01-04,1")])
        shop.load()
        outcomes = failed_outcomes(shop, "repeated_lines")
        assert list(outcomes) == [WARNED]
        assert outcomes[WARNED].observed_value == (
            "6 of 6 lines of f0.csv (100%) stand again in f1.csv"
        )


@pytest.mark.parametrize(
    ("columns", "header", "older", "newer"),
    [
        (ID + "\n      category: status", "id,customer,day,amount,status",
         "{n},c,2024-01-02,{n}.50,open", "{n},c,2024-01-02,{n}.50,paid"),
        (ID, "id,customer,day,amount", "{n},,2024-01-02,{n}.50", "{n},c{n},2024-01-02,{n}.50"),
        (ID, "id,customer,day,amount", "{n},007,2024-01-02,{n}.5", "{n},7,2024-01-02,{n}.50"),
        (ID, "id,customer,day,amount", "{n},c,2024-01-02,{n}.5", "{n},c,2024-01-02 11:00,{n}.5"),
    ],
    ids=["status", "customer filled in", "leading zeros lost", "time added"],
)  # fmt: skip
def test_an_export_that_differs_in_one_column_is_a_warning(
    columns: str, header: str, older: str, newer: str, tmp_path: Path
) -> None:
    with gate_shop(tmp_path, columns=columns) as shop:
        for name, row, count in (("a.csv", older, 8), ("b.csv", newer, 20)):
            rows = [row.format(n=n) for n in range(1, count + 1)]
            shop.put(name, "\n".join([header, *rows]) + "\n")
        shop.load()
        outcomes = failed_outcomes(shop, "repeated_lines")
        assert list(outcomes) == [SIMILAR]
        assert not outcomes[SIMILAR].is_blocking
        assert outcomes[SIMILAR].observed_value == (
            "8 of 8 lines of a.csv (100%) stand in another file with another customer, time or "
            "category"
        )
        # Few of many are chance: receipt numbers restart.
        shop.put("a.csv", (shop.paths.landing / "a.csv").read_text()
                 + "".join(older.format(n=n) + "\n" for n in range(100, 109)))  # fmt: skip
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}


def test_corrected_file_of_the_same_name_passes(tmp_path: Path) -> None:
    with gate_shop(tmp_path, columns=ID) as shop:
        shop.put("a.csv", with_ids(*ORDERS))
        shop.load()
        shop.put("a.csv", with_ids(*ORDERS[:-1], "56,c0,2024-01-01,57.50"))
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}
        assert shop.rows("from raw.compared_days") == []


def test_superseded_and_excluded_lines_are_not_compared(tmp_path: Path) -> None:
    first, second = OVERLAPPING
    table = "    key: transaction_id\n    duplicates: keep_last"
    with gate_shop(tmp_path, columns=ID, table=table) as shop:
        put(shop, [first, second])
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}
        assert shop.rows("select sum(used_amount) from raw.load_days") == [(60,)]
        # Without the key the lines that were superseded stand twice.
        shop.configure(columns=ID)
        shop.load()
        assert list(failed_outcomes(shop, "repeated_lines")) == [BLOCKED]
        shop.configure(columns=ID, table="    exclude: [{reason: void, when: amount < 25}]")
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}


def test_gone_and_renamed_files(tmp_path: Path) -> None:
    with gate_shop(tmp_path, columns=ID) as shop:
        put(shop, CUMULATIVE)
        shop.load()
        assert list(failed_outcomes(shop, "repeated_lines")) == [BLOCKED]
        older = shop.paths.landing / "f0.csv"
        older.rename(older.with_name("z.csv"))
        shop.load()
        outcomes = failed_outcomes(shop, "repeated_lines")
        assert outcomes[BLOCKED].observed_value == (
            "2 of 2 lines of z.csv (100%) stand again in f1.csv"
        )
        older.with_name("z.csv").unlink()
        shop.load()
        assert failed_outcomes(shop, "repeated_lines") == {}
        put(shop, CUMULATIVE)
        shop.load()
        assert list(failed_outcomes(shop, "repeated_lines")) == [BLOCKED]


@pytest.mark.parametrize("lines_at_once", [1, 30, 5_000_000])
@pytest.mark.parametrize("table", ["", "    key: transaction_id\n    duplicates: keep_last"])
def test_file_by_file_finds_what_one_load_finds(
    table: str, lines_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated_lines, "LINES_AT_ONCE", lines_at_once)
    head = "id,customer,day,amount\n"
    idless = [f",c{n},2024-01-0{n % 3 + 1},5" for n in range(18)]
    files = {
        "a.csv": head + "\n".join([*numbered(1, 30, days=9), *idless]),
        "b.csv": head + "\n".join([*idless, *numbered(21, 50, days=9)]),
        "c.csv": head + "\n".join(numbered(10, 25, days=9)),
    }
    with open_shop(tmp_path / "once", columns=ID, table=table) as once:
        for name, content in files.items():
            once.put(name, content)
        once.load()
        expected = once.dump(is_content_only=True)
        found = once.rows(
            "select source_file, other_file, sum(line_count) from raw.repeated_lines "
            "group by all order by all"
        )
    ids = [("a.csv", "b.csv", 10), ("a.csv", "c.csv", 16), ("b.csv", "c.csv", 5)]
    assert found == ([("a.csv", "b.csv", 18)] if table else [("a.csv", "b.csv", 28), *ids[1:]])
    with open_shop(tmp_path / "often", columns=ID, table=table) as often:
        for name in ("c.csv", "a.csv"):
            often.put(name, files[name])
            often.load()
        often.put("a.csv", files["b.csv"])
        often.load()
        often.put("b.csv", files["b.csv"])
        often.put("a.csv", files["a.csv"])
        often.load()
        assert often.dump(is_content_only=True) == expected
        # What did not change is not compared again.
        monkeypatch.setattr(repeated_lines, "_compare", None)
        often.load()


def test_many_cumulative_exports(tmp_path: Path) -> None:
    """Every pair of thirty exports is found, each with the lines of the older one."""
    with open_shop(tmp_path, columns=ID) as shop:
        put(shop, [with_ids(*numbered(1, 10 * last)) for last in range(1, 31)])
        shop.load()
        assert shop.rows("select count(*), sum(line_count) from (select source_file, other_file, "
                         "sum(line_count) as line_count from raw.repeated_lines group by all)"
        ) == [(30 * 29 // 2, sum(10 * n * (30 - n) for n in range(1, 30)))]  # fmt: skip
