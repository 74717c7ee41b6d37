"""Files that were renamed or have gone, and keys that stand in several rows."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.raw_shop import ID, Shop, day, lines, open_shop

from dagster_project.loading.changes import changed_files
from dagster_project.loading.settle import SUPERSEDED


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
