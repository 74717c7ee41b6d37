"""Files that were renamed or have gone, and keys that stand in several rows."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.raw_shop import ID, Shop, day, lines, open_shop

from dagster_project.loading.changes import changed_files
from dagster_project.loading.settle import SUPERSEDED, by_name


def test_renamed_file_does_not_double(shop: Shop) -> None:
    file = shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.load()
    before = shop.dump(is_content_only=True)
    file.rename(file.with_name("z.csv"))
    assert changed_files(shop.connection, shop.source, shop.paths).any
    report = shop.load()
    assert report.warnings == ["a.csv is named z.csv now; so are its rows."]
    after = shop.dump(is_content_only=True)
    assert str(after).replace("z.csv", "a.csv") == str(before).replace("z.csv", "a.csv")
    assert shop.values("source_file") == ["z.csv"]
    assert not changed_files(shop.connection, shop.source, shop.paths).any


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
    assert not changed_files(shop.connection, shop.source, shop.paths).any
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
        assert shop.values("excluded_reason") == [SUPERSEDED, None, None]
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


LAST = "    key: transaction_id\n    duplicates: keep_last\n"


@pytest.mark.parametrize(
    "names",
    [
        ["export-9.csv", "export-10.csv"],
        ["export.csv", "export (1).csv", "export (2).csv", "export (10).csv"],
        ["2024/9/sales.csv", "2024/10/sales.csv"],
        ["orders_20240102.csv", "orders_20240103.csv"],
        ["jan.csv.gz", "jan_feb.csv"],
        ["Export-8.csv", "export-9.csv", "Export-10.csv"],
        ["v1.9.csv", "v1.10.csv"],
        ["007.csv", "7.csv", "8.csv"],
    ],
)
def test_files_in_the_order_of_their_numbers(names: list[str]) -> None:
    assert sorted(names, key=by_name) == names


@pytest.mark.parametrize("names", [("export-9", "export-10"), ("e (9)", "e (10)"), ("e", "e (1)")])
@pytest.mark.parametrize("loaded_first", [0, 1])
def test_the_last_numbered_file_counts(
    names: tuple[str, str], loaded_first: int, tmp_path: Path
) -> None:
    """A cancellation in the tenth file takes back the sale of the ninth, whichever loads first."""
    table = LAST + "    inputs: {st: {column: st}}\n    exclude: [{reason: void, when: st = 'x'}]"
    with open_shop(tmp_path, columns=ID, table=table) as shop:
        older, newer = (f"{name}.csv" for name in names)
        content = {older: "1,a,2024-01-01,10,open\n", newer: "1,a,2024-01-01,10,x\n"}
        for name in sorted(content, reverse=bool(loaded_first)):
            shop.put(name, "id,customer,day,amount,st\n" + content[name])
            shop.load()
        assert sorted(shop.rows("select source_file, excluded_reason from raw.transactions")) == (
            sorted([(older, SUPERSEDED), (newer, "void")])
        )
        assert shop.rows("select sum(used_amount) from raw.load_days") == [(0,)]


@pytest.mark.parametrize(
    ("type_", "older", "newer"),
    [("timestamp", "2024-01-09 10:00", "2024-01-09 10:01"), ("count", "9", "10"),
     ("date", "2024-01-09", "2024-01-10"), ("number", "1.9", "1.91"), ("count", "", "1")],
)  # fmt: skip
def test_the_last_version_counts(type_: str, older: str, newer: str, tmp_path: Path) -> None:
    """Whatever the files are called, in one file and in two, also after a file is renamed."""
    table = LAST + f"    version_by: seen\n    inputs: {{seen: {{column: seen, type: {type_}}}}}"
    head = "id,customer,day,amount,seen\n"
    with open_shop(tmp_path, columns=ID, table=table) as shop:
        first = shop.put("a.csv", f"{head}1,a,2024-01-01,7,{newer}\n1,a,2024-01-02,5,{older}\n")
        shop.put("z.csv", f"{head}1,a,2024-01-03,3,{older}\n")
        shop.load()
        used = "select day(ordered_on) from raw.transactions where excluded_reason is null"
        assert shop.rows(used) == [(1,)]
        first.rename(first.with_name("b.csv"))
        shop.load()
        assert shop.rows(used) == [(1,)]
        shop.put("z.csv", f"{head}1,a,2024-01-03,3,{older}\n1,a,2024-01-04,3,{newer}\n")
        shop.load()
        assert shop.rows(used) == [(4,)]
        shop.load(full_refresh=True)
        assert shop.rows(used) == [(4,)]
        assert shop.rows("select count(*) from raw.line_versions") == [(4,)]
        first.with_name("b.csv").unlink()
        shop.put("z.csv", f"{head}1,a,2024-01-01,3,{older}\n1,a,2024-01-02,4,{older}\n")
        shop.load(full_refresh=True)
        assert shop.rows("select source_file, count(*) from raw.line_versions group by all") == [
            ("z.csv", 2)
        ]


def test_lines_superseded_in_their_own_file_are_counted(tmp_path: Path) -> None:
    """An order's lines share its id: with that alone as the key, all but one would be lost."""
    head = "id,customer,day,amount\n"
    report = (
        "select source_file, line_count, amount from raw.load_report "
        "where measure = 'superseded_in_file' order by all"
    )
    with open_shop(tmp_path, columns=ID, table=LAST) as shop:
        shop.put("a.csv", head + "1,a,2024-01-01,10\n1,a,2024-01-01,20.5\n1,a,2024-01-01,5\n")
        shop.put("b.csv", head + "2,a,2024-01-02,1\n3,a,2024-01-02,1\n,a,2024-01-02,1\n")
        shop.load()
        assert shop.rows(report) == [("a.csv", 2, Decimal("30.5"))]
        # What another file supersedes is what a key is for; a warning lasts as its cause does.
        shop.put("c.csv", head + "3,a,2024-01-02,4\n")
        shop.load()
        assert shop.rows(report) == [("a.csv", 2, Decimal("30.5"))]
        assert shop.values("excluded_reason").count(SUPERSEDED) == 3
        shop.put("c.csv", head + "1,a,2024-01-02,4\n")
        shop.load()
        assert shop.rows(report) == [("a.csv", 2, Decimal("30.5"))]
        shop.put("a.csv", head + "1,a,2024-01-01,35.5\n")
        shop.load()
        assert shop.rows(report) == []
