"""What is given back when the disk is full, and what is said then."""

import shutil
from collections import namedtuple
from pathlib import Path

import duckdb
import pytest
from support.small_source import GOOD

from dagster_project.config.source import Source, load_source
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import source_lock
from dagster_project.runs.reserve import give_back_after_run, keep_reserve
from dagster_project.runs.room import telling_of_a_full_disk
from dagster_project.warehouse import connect, create, wal_of

Usage = namedtuple("Usage", "total used free")
# A state of 2 MB: three of them, and 8 MB.
RESERVE = 14_000_000
LEFTOVERS = ("published/shop/candidate", "warehouse/shop/spill", "warehouse/shop/reserve")
UNCLOSED = "create table numbers as select 1 as number"


@pytest.fixture
def shop(tmp_path: Path) -> tuple[SourcePaths, Source]:
    paths = SourcePaths(tmp_path, "shop")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yml").write_text(GOOD, encoding="utf-8")
    for folder in (paths.landing, paths.warehouse_dir, paths.candidate, paths.spill):
        folder.mkdir(parents=True)
    (paths.landing / "orders.csv").write_bytes(b"x" * 1_000_000)
    # A finished one, too: there is no room to publish it.
    (paths.candidate / "candidate.json").touch()
    (paths.spill / "duckdb_temp_storage-0.tmp").touch()
    paths.state.parent.mkdir(parents=True)
    paths.state.write_bytes(b"x" * 2_000_000)
    keep_reserve(paths)
    return paths, load_source(paths)


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))


def left(paths: SourcePaths) -> list[str]:
    return [name for name in LEFTOVERS if (paths.data_dir / name).exists()]


def test_the_reserve_has_room_for_copies_of_the_state_and_is_kept_once(
    shop: tuple[SourcePaths, Source],
) -> None:
    paths, _ = shop
    status = paths.reserve.stat()
    assert status.st_size == RESERVE
    assert status.st_blocks * 512 >= RESERVE
    keep_reserve(paths)
    assert paths.reserve.stat().st_ino == status.st_ino


@pytest.mark.parametrize(("free", "stays"), [(RESERVE, LEFTOVERS), (RESERVE - 1, ())])
def test_whoever_begins_to_work_on_a_full_disk_has_the_reserve(
    shop: tuple[SourcePaths, Source], monkeypatch: pytest.MonkeyPatch, free: int, stays: tuple
) -> None:
    paths, _ = shop
    has_free(monkeypatch, free)
    with source_lock(paths, pytest.fail):
        assert left(paths) == list(stays)


def leave_log(paths: SourcePaths) -> None:
    """Leave a warehouse whose log holds a table that its file has not."""
    create(paths.warehouse)
    with duckdb.connect(str(paths.warehouse)) as connection:
        connection.execute(UNCLOSED)
        log = wal_of(paths.warehouse).read_bytes()
        file = paths.warehouse.read_bytes()
    paths.warehouse.write_bytes(file)
    wal_of(paths.warehouse).write_bytes(log)


def test_after_a_run_on_a_full_disk_the_warehouse_takes_in_its_log(
    shop: tuple[SourcePaths, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = shop
    leave_log(paths)
    has_free(monkeypatch, 2 * wal_of(paths.warehouse).stat().st_size)
    give_back_after_run(paths)
    # It might take up the room that the state needs.
    assert wal_of(paths.warehouse).exists()
    has_free(monkeypatch, 2 * wal_of(paths.warehouse).stat().st_size + 1)
    give_back_after_run(paths)
    assert not wal_of(paths.warehouse).exists()
    with connect(paths, read_only=True) as connection:
        assert connection.execute("from numbers").fetchall() == [(1,)]


FAULTS = [
    OSError(28, "No space left on device", "/data/x"),
    # As SQLite says it.
    type("OperationalError", (Exception,), {})("disk I/O error"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["system", "sqlite"])
def test_a_run_that_filled_the_disk_says_what_it_needs_and_what_stands(
    shop: tuple[SourcePaths, Source], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    paths, _ = shop
    has_free(monkeypatch, 15_000_000)
    with pytest.raises(WinbackError) as raised, telling_of_a_full_disk(*shop):
        raise fault
    assert str(raised.value) == (
        f"The disk is full: {paths.data_dir} had no room left for what the run wrote. Readers of "
        "shop have no release until a run publishes one. What the run had begun is removed, after "
        "which 15.0 MB are free; a run may need 36.0 MB. Free the rest there, then run again."
    )
    assert raised.value.details


def test_another_full_disk_and_other_faults_keep_their_own_words(
    shop: tuple[SourcePaths, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_free(monkeypatch, 36_000_000)
    with pytest.raises(OSError, match="No space left"), telling_of_a_full_disk(*shop):
        raise FAULTS[0]
    has_free(monkeypatch, 0)
    with pytest.raises(ConfigurationError, match="so"), telling_of_a_full_disk(*shop):
        raise ConfigurationError("so")
