"""DuckDB files: created whole, waited for while another program has them open."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from support.kept_shop import damage_block

from dagster_project import warehouse
from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import (
    MEMORY,
    DamagedDatabaseError,
    attach,
    connect,
    fault,
    transaction,
)

HOLDER = (
    "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'read'); "
    "print('open', flush=True); sys.stdin.read()"
)


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    # A lock in the path is none on the file.
    paths = SourcePaths(tmp_path / "clock", "shop")
    with connect(paths) as connection:
        connection.execute("create table numbers as select 1 as number")
    return paths


@contextmanager
def held(file: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Let another program keep a file open, until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        yield holder
        holder.stdin.close()


def open_it(paths: SourcePaths, *, read_only: bool) -> None:
    with connect(paths, read_only=read_only) as connection:
        assert connection.execute("select number from numbers").fetchall() == [(1,)]


def attach_it(paths: SourcePaths, *, read_only: bool) -> None:
    with connect(paths, MEMORY) as connection:
        attach(connection, paths.warehouse, "other", read_only=read_only)
        assert connection.execute("select number from other.main.numbers").fetchall() == [(1,)]


@pytest.mark.parametrize("way", [open_it, attach_it])
def test_who_cannot_have_the_file_is_told_why(paths, way, monkeypatch):
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.3)
    with held(paths.warehouse, "write") as holder:
        in_it = rf"in python[\d.]* \(process {holder.pid}\)\. Close it there"
        with pytest.raises(WinbackError, match=rf"warehouse\.duckdb is open for writing {in_it}"):
            way(paths, read_only=True)
        with pytest.raises(WinbackError, match=rf"warehouse\.duckdb is open {in_it}"):
            way(paths, read_only=False)
    with held(paths.warehouse, "read") as holder:
        # Readers do not disturb each other.
        way(paths, read_only=True)
        with pytest.raises(WinbackError, match=rf"is open in python.* \(process {holder.pid}\)"):
            way(paths, read_only=False)
    way(paths, read_only=False)


def test_a_run_waits_once_and_not_in_each_step(paths, monkeypatch, caplog):
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.5)
    with held(paths.warehouse, "read") as holder:
        waits = []
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(WinbackError, match="is open in"):
                open_it(paths, read_only=False)
            waits.append(time.monotonic() - started)
        assert waits[0] >= 0.5 and max(waits[1:]) < 0.4
        (line,) = caplog.messages
        assert f"(process {holder.pid}); waiting for it, 0.5 seconds at the most" in line
    open_it(paths, read_only=False)
    # Who had it in between is waited for again: it is another time.
    with held(paths.warehouse, "write") as holder:
        threading.Timer(0.3, holder.stdin.close).start()
        open_it(paths, read_only=False)


@pytest.mark.parametrize("way", [open_it, attach_it])
def test_who_waits_gets_the_file(paths, way):
    with held(paths.warehouse, "write") as holder:
        threading.Timer(0.5, holder.stdin.close).start()
        way(paths, read_only=False)


@pytest.mark.parametrize("way", [open_it, attach_it])
def test_what_is_no_database_is_not_waited_for(paths, way, monkeypatch):
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 60)
    monkeypatch.setattr(warehouse.time, "sleep", lambda _: pytest.fail("waits"))
    paths.warehouse.write_bytes(b"something else" * 1000)
    with pytest.raises(WinbackError, match=r"cannot open .*warehouse\.duckdb"):
        way(paths, read_only=True)


def test_a_file_whose_creation_was_cut_short_does_no_harm(tmp_path):
    paths = SourcePaths(tmp_path, "shop")
    paths.warehouse_dir.mkdir(parents=True)
    (paths.warehouse_dir / ".tmp-warehouse.duckdb").write_bytes(b"half")
    with connect(paths) as connection:
        connection.execute("create table numbers as select 1 as number")
    files = {path.name for path in paths.warehouse_dir.iterdir() if path.is_file()}
    assert files == {"warehouse.duckdb"}


def test_asking_to_read_creates_nothing(tmp_path):
    paths = SourcePaths(tmp_path, "shop")
    with pytest.raises(WinbackError, match="cannot open"), connect(paths, read_only=True):
        pass
    assert not paths.warehouse.exists()


def test_storage_version_is_that_of_the_readers(paths):
    file = paths.data_dir / "for_readers.duckdb"
    with connect(paths, MEMORY) as connection:
        attach(connection, file, "release", storage_version="v1.0.0")
        connection.execute("create table release.main.numbers as select 1 as number")
    with duckdb.connect(str(file), read_only=True) as connection:
        (tags,) = connection.execute(
            "select tags from duckdb_databases() where not internal"
        ).fetchone()
    assert tags["storage_version"].startswith("v1.0.0")


def test_a_damaged_part_is_told_of_the_file_that_has_it(paths):
    other = paths.data_dir / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("create table filler as select range as number from range(200000)")
    damage_block(other, "select sum(number) from filler")
    query = "select sum(number) from other.main.filler"
    with (
        pytest.raises(DamagedDatabaseError, match=rf"^A part of {other} is damaged\. [^.]*\.$"),
        connect(paths, MEMORY) as connection,
    ):
        attach(connection, other, "other", read_only=True)
        connection.execute(query)
    # The warehouse was not read.
    assert not paths.doubt.exists()
    with (
        pytest.raises(DamagedDatabaseError, match=rf"{other} or {paths.warehouse} is .*Run again"),
        connect(paths, read_only=True) as connection,
    ):
        attach(connection, other, "other", read_only=True)
        connection.execute(query)
    assert paths.doubt.exists()


def test_a_file_shorter_than_its_blocks_is_at_fault_only_if_it_cannot_be_read(
    tmp_path: Path,
) -> None:
    """DuckDB counts the blocks of what was dropped, and leaves them out of the file."""
    paths = SourcePaths(tmp_path, "shop")
    with connect(paths) as connection:
        connection.execute("create table kept as select hash(range) as number from range(200000)")
    with connect(paths) as connection:
        connection.execute("create table gone as select hash(range) as number from range(2000000)")
        connection.execute("drop table gone")
    with connect(paths, read_only=True) as connection:
        (counted,) = connection.execute(
            "select block_size * total_blocks from pragma_database_size() "
            "where database_name = current_database()"
        ).fetchone()
    assert paths.warehouse.stat().st_size < counted
    assert fault(paths) is None
    os.truncate(paths.warehouse, paths.warehouse.stat().st_size - 2**18)
    assert "cut off" in fault(paths) or "Could not read enough bytes" in fault(paths)


class Ended:
    """A connection whose commit finds no room, which ends the transaction."""

    def begin(self) -> None:
        pass

    def commit(self) -> None:
        raise duckdb.IOException("IO Error: No space left on device")

    def rollback(self) -> None:
        raise duckdb.TransactionException("cannot rollback - no transaction is active")


def test_why_a_transaction_could_not_be_committed_is_said() -> None:
    with pytest.raises(duckdb.IOException, match="No space left"), transaction(Ended()):
        pass


def test_a_warehouse_that_this_user_may_not_read_is_told_with_the_way_out(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.warehouse.parent.mkdir(parents=True, exist_ok=True)
    paths.warehouse.write_bytes(b"of somebody else")

    def refuse(file: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WinbackError, match=r"may not read or write .*\. Give the user that runs"):
        fault(paths)
