"""What a run stands on: a warehouse that is right, made anew, or left to a person."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from support.kept_shop import (
    FILES,
    KeptShop,
    contents,
    cut,
    flip,
    make_folder,
    make_later,
)
from support.raw_shop import lines

from dagster_project import warehouse
from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release.ready import make_ready
from dagster_project.release.state import open_state
from dagster_project.runs.planning import plan_load
from dagster_project.warehouse import DamagedDatabaseError, connect, wal_of

UNCLOSED = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("create table numbers as select 1 as number")
os._exit(0)
"""


def give_other_log(file: Path) -> None:
    other = file.with_name("other.duckdb")
    subprocess.run([sys.executable, "-c", UNCLOSED, str(other)], check=True, timeout=60)
    shutil.move(wal_of(other), wal_of(file))
    other.unlink()


Damage = tuple[Callable[[Path], object], str]
DAMAGES: dict[str, Damage] = {
    "garbage at the start": (lambda file: flip(file, 9), "is no DuckDB file"),
    "garbled header": (lambda file: flip(file, 4200), "Corrupt database file"),
    "truncated": (cut, "is cut off|Could not read enough bytes"),
    "text": (lambda file: file.write_text("hello\n" * 999), "is no DuckDB file"),
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "folder": (make_folder, "is no file"),
    "later version": (make_later, "created with a newer version|storage version number 999"),
    "log of another": (give_other_log, "WAL does not match"),
    "missing": (Path.unlink, "is missing"),
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, shop: KeptShop) -> tuple[KeptShop, str]:
    """Return a shop whose warehouse is damaged, and what is said of that."""
    damage, said = DAMAGES[request.param]
    damage(shop.paths.warehouse)
    return shop, said


def test_a_damaged_warehouse_is_made_anew_from_the_files(damaged: tuple[KeptShop, str]) -> None:
    shop, expected = damaged
    shop.paths.lock.touch()
    (shop.paths.spill / "left.tmp").touch()
    # The schedule asks for the whole calendar, and for a run.
    plan = plan_load(shop.paths, shop.source, warehouse.utc_now())
    assert (plan.first, plan.has_changes) == (shop.source.first_day, True)
    (said,) = shop.ready()
    assert re.search(expected, said), said
    assert "made anew from the files." in said
    assert len(said.splitlines()) == 1
    assert shop.paths.lock.exists()
    assert not (shop.paths.spill / "left.tmp").exists()
    assert not wal_of(shop.paths.warehouse).exists()
    # The run that follows in Dagster has nothing more to do, and all to load.
    assert shop.ready() == []
    assert shop.ids() == []


def test_a_damaged_warehouse_with_lines_of_gone_files_is_left_alone(
    damaged: tuple[KeptShop, str],
) -> None:
    shop, _ = damaged
    (shop.paths.landing / "jan.csv").unlink()
    (shop.paths.landing / "feb.csv").unlink()
    before = contents(shop.paths.warehouse_dir)
    with pytest.raises(WinbackError) as raised:
        shop.ready()
    assert raised.value.exit_code == 1
    assert "2 files with 3 lines (feb.csv, jan.csv)" in str(raised.value)
    assert "--rebuild-warehouse" in str(raised.value)
    assert contents(shop.paths.warehouse_dir) == before
    (said,) = shop.ready(rebuild=True)
    assert "without 2 files with 3 lines (feb.csv, jan.csv)" in said
    # What a person has decided holds for the next run, should this one fail.
    assert shop.ready() == []


def test_nothing_to_make_a_warehouse_from_is_no_way_out(shop: KeptShop) -> None:
    """A restored machine without its landing folder, whose published folder has gone as well."""
    cut(shop.paths.warehouse)
    for name in FILES:
        (shop.paths.landing / name).unlink()
    with pytest.raises(WinbackError) as raised:
        shop.ready()
    told = str(raised.value)
    assert told.endswith(
        "Nothing was read or changed. Readers of shop have no release until a run publishes one; "
        "or give them a kept one with `winback rollback ID` (`winback releases`). "
        "Put the files back and run again."
    )


def test_what_is_made_anew_is_what_there_was(shop: KeptShop) -> None:
    former = shop.ids()
    cut(shop.paths.warehouse)
    shop.ready()
    shop.load_all()
    assert shop.ids() == former


def test_the_old_warehouse_is_kept_while_something_is_only_there(shop: KeptShop) -> None:
    (shop.paths.landing / "jan.csv").unlink()
    old = shop.paths.warehouse.read_bytes()
    (said,) = shop.ready(rebuild=True)
    kept = [one for one in shop.paths.warehouse_dir.glob("*.duckdb") if one.read_bytes() == old]
    assert [str(one) in said for one in kept] == [True]
    # One that the files can make again is replaced by the next, that one is not.
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    for _ in range(2):
        cut(shop.paths.warehouse)
        shop.ready()
    assert kept[0].read_bytes() == old
    assert len(list(shop.paths.warehouse_dir.glob("warehouse*.duckdb"))) == 3


def test_a_first_run_and_a_sound_warehouse_have_nothing_to_be_told(shop: KeptShop) -> None:
    assert shop.ready() == []
    shop.put("apr.csv", lines("d,2024-04-02,1"))
    (shop.paths.landing / "jan.csv").unlink()
    assert shop.ready() == []
    fresh = SourcePaths(shop.paths.data_dir / "fresh", "shop")
    make_ready(fresh, shop.source, pytest.fail)
    assert not fresh.warehouse.exists()


def test_a_damaged_block_is_found_when_it_is_read_and_mended_by_the_next_run(
    shop: KeptShop,
) -> None:
    with connect(shop.paths) as connection:
        connection.execute("create table filler as select range as number from range(200000)")
    size = shop.paths.warehouse.stat().st_size
    # Not in the last blocks, which are read when the file is opened.
    flip(shop.paths.warehouse, size // 2)
    assert shop.ready() == []
    with (
        pytest.raises(DamagedDatabaseError, match=r"warehouse\.duckdb.* is damaged\..*Run again"),
        connect(shop.paths, read_only=True) as connection,
    ):
        warehouse.read_all(connection)
    assert plan_load(shop.paths, shop.source, warehouse.utc_now()).has_changes
    (said,) = shop.ready()
    assert "Corrupt database file" in said
    assert shop.ready() == []


def test_a_doubt_goes_when_the_warehouse_is_sound(shop: KeptShop) -> None:
    shop.paths.doubt.touch()
    before = shop.paths.warehouse.read_bytes()
    assert shop.ready() == []
    assert not shop.paths.doubt.exists()
    assert shop.paths.warehouse.read_bytes() == before


def test_a_warehouse_that_is_only_in_use_is_not_damaged(shop: KeptShop, monkeypatch) -> None:
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.2)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()",
            str(shop.paths.warehouse),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        with pytest.raises(WinbackError, match="open for writing"):
            shop.ready()
    finally:
        holder.communicate(b"\n")
    assert shop.ready() == []


def test_a_file_is_there_by_its_content_or_newer_under_its_name(shop: KeptShop) -> None:
    landing = shop.paths.landing
    (landing / "jan.csv").rename(landing / "january.csv")
    (landing / "feb.csv").write_text(lines("c,2024-02-02,5"))
    cut(shop.paths.warehouse)
    (said,) = shop.ready()
    assert "without" not in said


def test_one_newer_file_stands_for_one_of_its_name(shop: KeptShop) -> None:
    shop.put("north/day.csv", lines("n,2024-03-03,1"))
    shop.put("south/day.csv", lines("s,2024-03-03,1", "s,2024-03-04,1"))
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    (shop.paths.landing / "south/day.csv").unlink()
    shop.put("north/day.csv", lines("n,2024-03-03,7"))
    cut(shop.paths.warehouse)
    with pytest.raises(WinbackError, match=r"1 file with \d lines? \(day\.csv\)"):
        shop.ready()


def test_an_older_warehouse_publishes_no_less_than_there_was(shop: KeptShop) -> None:
    older = shop.paths.warehouse.read_bytes()
    shop.put("apr.csv", lines("d,2024-04-02,1"))
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    shop.paths.warehouse.write_bytes(older)
    # As long as the files are there it is brought up to date as any other.
    assert shop.ready() == []
    (shop.paths.landing / "apr.csv").unlink()
    with pytest.raises(WinbackError, match=r"r2.*1 file with 1 line \(apr\.csv\)"):
        shop.ready()
    # What the older one holds of gone files is no loss.
    shop.put("apr.csv", lines("d,2024-04-02,1"))
    (shop.paths.landing / "jan.csv").unlink()
    assert shop.ready() == []


def test_the_release_made_last_counts_and_the_state_where_none_is_left(shop: KeptShop) -> None:
    shop.put("apr.csv", lines("d,2024-04-02,1"))
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    (shop.paths.landing / "apr.csv").unlink()
    # Rolled back: the current one does not name what the last one was made from.
    shop.paths.current.symlink_to("releases/r1")
    cut(shop.paths.warehouse)
    with pytest.raises(WinbackError, match=r"apr\.csv"):
        shop.ready()
    shutil.rmtree(shop.paths.published)
    with open_state(shop.paths) as con:
        con.execute(
            "insert into state.main.releases (release_id, published_at, inputs) values "
            "('r0', '2024-01-01', []), ('r3', '2024-04-03', [{'table_name': 'transactions', "
            "'file_name': 'may.csv', 'file_hash': 'h', 'row_count': 5}])"
        )
    with pytest.raises(WinbackError, match=r"5 lines \(may\.csv\)"):
        shop.ready()


def test_a_table_that_the_source_has_no_more_is_no_loss(shop: KeptShop) -> None:
    people = "  customers:\n    files: people/*.csv\n    columns: {customer_id: id}\n"
    shop.configure(files="*.csv", tables=people)
    shop.put("people/p.csv", "id\na\n")
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    shop.configure(files="*.csv")
    cut(shop.paths.warehouse)
    shutil.rmtree(shop.paths.landing / "people")
    assert "without" not in shop.ready()[0]


def test_a_linked_warehouse_whose_disk_is_not_there_is_not_made_elsewhere(shop: KeptShop) -> None:
    away = shop.paths.warehouse.rename(shop.paths.data_dir / "away.duckdb")
    shop.paths.warehouse.symlink_to(away)
    assert shop.ready() == []
    away.unlink()
    with pytest.raises(WinbackError, match=r"link to .*away\.duckdb"):
        shop.ready()
    assert shop.paths.warehouse.is_symlink()


def test_the_warehouse_of_this_version_can_be_opened(shop: KeptShop) -> None:
    # Or nothing above would be shown by what it says.
    with duckdb.connect(str(shop.paths.warehouse), read_only=True) as connection:
        assert connection.execute("select count(*) from raw.loads").fetchone() == (3,)
