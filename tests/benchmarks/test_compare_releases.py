"""Comparing two release files: every kind of difference is found, sized and can be intended."""

from pathlib import Path

import duckdb
import pytest

from benchmarks import compare_releases
from benchmarks.compare_releases import read_intended
from benchmarks.release_differences import Difference, compare

SAME = """
create table customers (customer_id varchar, net_revenue decimal(18, 2), score double);
insert into customers values ('a', 10.00, 0.5), ('b', 20.00, 'nan'), ('c', null, null);
create table moves (month date, from_stage varchar, to_stage varchar);
insert into moves values ('2024-01-01', 'new', 'alarm'), ('2024-02-01', 'alarm', 'lost');
create table releases (release_id varchar, source_name varchar, built_at timestamp);
insert into releases values ('r' || random(), 'shop', now()::timestamp);
create table gate_results (
    release_id varchar, gate varchar, expectation varchar, is_passed boolean, evaluated_at timestamp
);
insert into gate_results values ('r' || random(), 'raw', 'present', true, now()::timestamp);
"""


def files(folder: Path, change: str, base: str = SAME) -> tuple[Path, Path]:
    """Make a release, and the same one with a change."""
    both = folder / "before.duckdb", folder / "after.duckdb"
    for file, sql in zip(both, (base, base + change), strict=True):
        with duckdb.connect(str(file)) as connection:
            connection.execute(sql)
    return both


def differences(folder: Path, change: str, base: str = SAME) -> list[Difference]:
    return compare(*files(folder, change, base))[1]


def code(folder: Path, change: str, intended: str = "", base: str = SAME) -> int:
    """Return the exit code of comparing a release with a changed one."""
    arguments = [*map(str, files(folder, change, base))]
    if intended:
        (folder / "intended.yml").write_text(intended)
        arguments += ["--intended", str(folder / "intended.yml")]
    return compare_releases.main(arguments)


def test_equal_releases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Another order, ids and times of their own, not a number and null.
    change = """
        create or replace table customers as from customers order by customer_id desc;
        update gate_results set evaluated_at = timestamp '1999-01-01';
    """
    assert code(tmp_path, change) == 0
    shown = capsys.readouterr().out
    assert "0 differences" in shown
    line = next(line for line in shown.splitlines() if "customers" in line)
    assert line.split() == ["|", "customers", "|", "3", "|", "3", "|", "0", "|", "0", "|", "|"]
    assert "- gate_results: evaluated_at, release_id" in shown


def test_changed_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = """
        update customers set net_revenue = net_revenue + 0.01 where net_revenue is not null;
        update customers set net_revenue = 25 where customer_id = 'b';
    """
    paths = files(tmp_path, change)
    assert compare(*paths)[1] == [
        Difference(
            "customers",
            "values",
            "net_revenue",
            row_count=2,
            greatest=5,
            greatest_share=0.2,
            detail="a: 10.00 → 10.01, b: 20.00 → 25.00",
        )
    ]
    assert compare_releases.main([*map(str, paths)]) == 1
    shown = capsys.readouterr().out
    assert "net_revenue (2, at most 5)" in shown
    assert "customers.net_revenue: values, 2 rows, at most 5 (0.2 of the value); a: 10.00" in shown
    assert "1 differences, 1 of them not intended." in shown


def test_smallest_step_of_a_float_counts(tmp_path: Path) -> None:
    (found,) = differences(
        tmp_path, "update customers set score = 0.5000000000000001 where customer_id = 'a'"
    )
    assert (found.column, found.row_count) == ("score", 1)
    assert found.greatest == pytest.approx(1.11e-16, rel=0.01)


def test_greatest_difference_of_decimals_is_exact(tmp_path: Path) -> None:
    base = SAME + "update customers set net_revenue = 9000000000000000.01 where customer_id = 'a';"
    change = "update customers set net_revenue = 9000000000000000.02 where customer_id = 'a'"
    (found,) = differences(tmp_path, change, base)
    assert found.greatest == 0.01


def test_whole_numbers_of_any_size_are_subtracted(tmp_path: Path) -> None:
    base = "create table t (id varchar, n bigint, u ubigint);"
    base += "insert into t values ('a', -9000000000000000000, 1);"
    found = differences(tmp_path, "update t set n = 9000000000000000000, u = 3", base)
    assert [(one.column, one.greatest) for one in found] == [("n", 1.8e19), ("u", 2)]


def test_null_is_not_zero(tmp_path: Path) -> None:
    (found,) = differences(tmp_path, "update customers set net_revenue = 0 where customer_id = 'c'")
    assert (found.column, found.row_count, found.null_count) == ("net_revenue", 1, 1)
    assert found.greatest is None
    assert found.detail == "c: None → 0.00"


def test_missing_and_added_rows(tmp_path: Path) -> None:
    change = """
        delete from customers where customer_id = 'a';
        insert into customers values ('d', 1, 1), ('e', 1, 1);
        update customers set score = 1 where customer_id = 'b';
    """
    (table, *_), found = compare(*files(tmp_path, change))
    assert (table.rows_before, table.rows_after) == (3, 4)
    assert (table.only_before, table.only_after) == (2, 3)
    assert [(one.change, one.column, one.row_count) for one in found] == [
        ("values", "score", 1),
        ("rows removed", None, 1),
        ("rows added", None, 2),
    ]


def test_duplicates_are_counted(tmp_path: Path) -> None:
    change = "insert into moves from moves where to_stage = 'lost';"
    assert differences(tmp_path, change) == [Difference("moves", "rows added", row_count=1)]


def test_rows_without_a_name_are_only_counted(tmp_path: Path) -> None:
    base = SAME + "insert into moves from moves;"
    change = "update moves set to_stage = 'gone' where to_stage = 'lost'"
    assert differences(tmp_path, change, base) == [
        Difference("moves", "rows removed", row_count=2),
        Difference("moves", "rows added", row_count=2),
    ]


def test_rows_named_with_a_null_are_paired(tmp_path: Path) -> None:
    base = "create table t (id varchar, n integer);insert into t values (null, 1), ('a', 2);"
    (found,) = differences(tmp_path, "update t set n = 3 where id is null", base)
    assert (found.column, found.row_count, found.greatest) == ("n", 1, 2)


def test_rows_are_paired_by_the_columns_of_the_suite(tmp_path: Path) -> None:
    # By its first columns alone, of which region would be one, no row would be found again.
    base = "create table customers (region varchar, customer_id varchar, n integer);"
    base += "insert into customers values ('north', 'a', 1), ('south', 'b', 2);"
    found = differences(tmp_path, "update customers set region = 'west' where n = 1", base)
    assert [(one.change, one.column, one.row_count) for one in found] == [("values", "region", 1)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("create table cases (i integer)", Difference("cases", "table added")),
        ("drop table moves", Difference("moves", "table removed")),
        (
            "alter table customers add tier varchar",
            Difference("customers", "column added", "tier"),
        ),
        ("alter table customers drop score", Difference("customers", "column removed", "score")),
        (
            "alter table customers alter net_revenue type decimal(18, 4)",
            Difference(
                "customers",
                "column retyped",
                "net_revenue",
                detail="DECIMAL(18,2) became DECIMAL(18,4)",
            ),
        ),
        (
            "alter table moves alter month type varchar",
            Difference("moves", "column retyped", "month", detail="DATE became VARCHAR"),
        ),
        (
            "comment on table moves is 'Moves.'",
            Difference("moves", "comment", detail="None became 'Moves.'"),
        ),
        (
            "comment on column moves.month is 'Month.'",
            Difference("moves", "comment", "month", detail="None became 'Month.'"),
        ),
    ],
)
def test_structure(change: str, expected: Difference, tmp_path: Path) -> None:
    assert differences(tmp_path, change) == [expected]


def test_only_intended_changes_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intended = """
        - {table: customers, columns: [net_revenue], why: Prices rose.}
        - {table: cases, change: table added, why: New.}
        - {table: moves, change: comment, columns: [month], why: Clearer.}
    """
    change = """
        update customers set net_revenue = 12 where customer_id = 'a';
        create table cases (i integer);
    """
    assert code(tmp_path, change, intended) == 0
    shown = capsys.readouterr().out
    assert "2 differences, 0 of them not intended." in shown
    assert "why: Prices rose." in shown
    assert "Intended, but nothing differs:\n- moves, comment, month: Clearer." in shown


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("max_rows: 2", 0),
        ("max_rows: 1", 1),
        ("max_abs: 2", 0),
        ("max_abs: 1.99", 1),
        ("max_rows: 2, max_abs: 2", 0),
    ],
)
def test_intended_changes_have_bounds(bounds: str, expected: int, tmp_path: Path) -> None:
    change = "update customers set net_revenue = net_revenue + 2 where net_revenue > 0"
    intended = f"[{{table: customers, columns: [net_revenue], why: More., {bounds}}}]"
    assert code(tmp_path, change, intended) == expected


@pytest.mark.parametrize(
    "change",
    [
        "update customers set net_revenue = null where customer_id = 'a'",
        "update customers set net_revenue = 0 where customer_id = 'c'",
        "update customers set score = 'nan' where customer_id = 'a'",
    ],
)
def test_null_and_not_a_number_are_within_no_bound(change: str, tmp_path: Path) -> None:
    intended = "[{table: customers, columns: [net_revenue, score], why: More., max_abs: 1000}]"
    assert code(tmp_path, change, intended) == 1


@pytest.mark.parametrize(
    "change",
    [
        "update customers set score = 1 where customer_id = 'a'",
        "update customers set net_revenue = 1 where customer_id = 'a';"
        "delete from customers where customer_id = 'b'",
        "alter table customers drop net_revenue",
    ],
)
def test_other_changes_of_an_intended_table_do_not_pass(change: str, tmp_path: Path) -> None:
    intended = "[{table: customers, columns: [net_revenue], why: More.}]"
    assert code(tmp_path, change, intended) == 1


@pytest.mark.parametrize(
    ("intended", "expected"),
    [
        ("[{table: customers, columns: [score]}]", "must have table and why"),
        ("[{table: customers, why: x, column: [score]}]", "columns, max_abs, max_rows"),
        ("[{table: customers, why: x}]", "must name the columns"),
        ("[{table: customers, why: x, change: more}]", "change 'more' is none of values"),
        ("[{", "cannot be read"),
    ],
)
def test_intended_changes_that_cannot_be_read(
    intended: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code(tmp_path, "", intended) == 2
    assert expected in capsys.readouterr().err


def test_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = files(tmp_path, "")
    after.unlink()
    assert compare_releases.main([str(before), str(after)]) == 2
    assert f"{after} is not there" in capsys.readouterr().err


def test_no_intended_changes(tmp_path: Path) -> None:
    (tmp_path / "intended.yml").write_text("")
    assert read_intended(tmp_path / "intended.yml") == []


def test_files_are_only_read(tmp_path: Path) -> None:
    both = files(tmp_path, "drop table moves")
    content = [file.read_bytes() for file in both]
    for file in both:
        file.chmod(0o444)
    compare(*both)
    assert [file.read_bytes() for file in both] == content
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in both}
