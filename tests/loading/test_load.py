"""Loading into raw: what is wrong with files, loads one after the other, all or nothing."""

from pathlib import Path

import pytest
from support.raw_shop import HEADER, Shop, day, lines, open_shop

from dagster_project.errors import WinbackError
from dagster_project.loading import load
from dagster_project.loading.changes import changed_files


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
    shop.put("f.csv", f'customer,day,amount\na,2024-01-02,"{secret}\nb,2024-01-02,1\n')
    report = shop.load()
    reasons = [reason for _, _, reason, _ in shop.rejected()]
    assert len(reasons) == 2
    assert not any("@" in text for text in [*reasons, *report.warnings])
    shop.put("f.csv", f"{secret},2024-01-02,1\n" * 2)
    with pytest.raises(WinbackError) as raised:
        shop.load()
    assert "@" not in str(raised.value)
    assert "declare `header: false`" in str(raised.value)


def test_same_input_again_changes_nothing(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.put("b.csv", lines("a,2024-01-03,2"))
    assert shop.load().read_files == ["a.csv", "b.csv"]
    before = shop.dump()
    assert shop.load().read_files == []
    assert shop.dump() == before
    assert not changed_files(shop.connection, shop.source, shop.paths).any
    (shop.paths.landing / "a.csv").touch()
    shop.load()
    assert shop.dump() == before


def test_changed_file_replaces_exactly_its_rows(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-02,1", "b,x,1"))
    shop.put("b.csv", lines("a,2024-01-03,2", "c,2024-01-02,3", "d,y,1"))
    assert shop.load().rejected_count == 2
    kept = shop.rows("from raw.transactions where source_file = 'b.csv' order by source_row")
    shop.put("a.csv", lines("z,2024-01-09,9"))
    changes = changed_files(shop.connection, shop.source, shop.paths)
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


@pytest.mark.parametrize("step", ["_replace_loads", "_stage", "_replace_rejected_rows"])
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

    original = getattr(load._Load, step)
    monkeypatch.setattr(load._Load, step, fail_on_second)
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
        assert changed_files(shop.connection, shop.source, shop.paths).any
        shop.load("customers")
        assert all(rows == [] for rows in shop.dump().values())


def test_a_mended_file_is_loaded_whole(shop: Shop) -> None:
    """Lines that were rejected at first are there once the file is corrected, on all its days."""
    days = [f"a,2024-01-{number:02},{number}" for number in range(1, 13)]
    broken = [row.replace(",", ",x", 1) if number % 2 else row for number, row in enumerate(days)]
    shop.put("f.csv", lines(*broken))
    shop.load()
    assert shop.load_counts() == [("f.csv", 12, 6, 6)]
    shop.put("f.csv", lines(*days))
    shop.load()
    assert shop.load_counts() == [("f.csv", 12, 12, 0)]
    assert shop.rejected() == []
    assert shop.values("amount") == list(range(1, 13))


def test_no_contact_of_a_file_name_is_told(shop: Shop) -> None:
    """Raw keeps the name, by which the file is found again; nothing that is said of it does."""
    name = "orders_jane.roe@example.org.csv"
    file = shop.put(name, lines("a,2024-01-02,1"))
    shop.put("empty +49 30 1234567.csv", HEADER)
    assert shop.load().warnings == ["empty ….csv holds no line of data, only its header."]
    file.unlink()
    assert shop.load().warnings == ["….csv has gone; its rows in raw.transactions are kept."]
    assert [row[0] for row in shop.load_counts()] == ["empty +49 30 1234567.csv", name]
    shop.put(name, "nonsense\n1\n")
    with pytest.raises(WinbackError) as raised:
        shop.load()
    assert "….csv has no column customer" in str(raised.value)
    assert "example" not in str(raised.value)


def test_several_empty_files_are_several(shop: Shop) -> None:
    for name in ("a.csv", "b.csv"):
        shop.put(name, HEADER)
    with pytest.raises(
        WinbackError, match=r"a\.csv, b\.csv hold no line of data\. Deliver the files"
    ):
        shop.load()
