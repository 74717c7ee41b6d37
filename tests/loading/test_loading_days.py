"""Loads of some days: exactly those are replaced, and what is left out is not forgotten."""

from support.raw_shop import Shop, day, lines

from dagster_project.loading.changes import changed_files
from dagster_project.loading.days import DayRange


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
    changes = changed_files(shop.connection, shop.source, shop.paths)
    assert [file.name for file in changes.transactions] == ["a.csv"]
    shop.load()
    assert {customer for _, customer, _ in content()} == {"new"}
    assert not changed_files(shop.connection, shop.source, shop.paths).any


def test_range_leaves_nothing_of_a_former_content_unnoticed(shop: Shop) -> None:
    """The new content has no rows outside the range, the old one had: the file is not complete."""
    shop.put("a.csv", lines("old,2024-01-01,1", "old,2024-01-02,1"))
    shop.load()
    shop.put("a.csv", lines("new,2024-01-02,1"))
    shop.load(days=DayRange(day(2), day(2)))
    assert shop.values("customer_id") == ["old", "new"]
    assert changed_files(shop.connection, shop.source, shop.paths).any
    shop.load(days=DayRange(day(2), day(2)))
    assert changed_files(shop.connection, shop.source, shop.paths).any
    shop.load()
    assert shop.values("customer_id") == ["new"]


def test_days_loaded_one_by_one_make_a_whole(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-01,1", "a,2024-01-02,2", "a,2024-01-02,3", "a,x,4"))
    shop.load(days=DayRange(None, day(1)))
    assert shop.values("amount") == [1]
    shop.load(days=DayRange(day(2), day(2)))
    assert not changed_files(shop.connection, shop.source, shop.paths).any
    piecemeal = shop.dump(is_content_only=True)
    shop.load(full_refresh=True)
    assert shop.dump(is_content_only=True) == piecemeal
