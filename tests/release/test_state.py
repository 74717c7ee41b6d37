"""The state: its history is carried by each release, and it is there whole or not at all."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from support.releases import checksums, identity, query, read_whole, release

from dagster_project import warehouse
from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release import state
from dagster_project.release.publish import switch_to
from dagster_project.release.recover import recover
from dagster_project.release.state import list_releases, open_state


def test_each_release_carries_the_history_before_it(paths):
    ids = [release(paths, marker).release_id for marker in "abc"]
    assert [row[0] for row in query(paths.published_file, "select release_id from releases")] == ids
    assert query(
        paths.published_file,
        "select release_id, count(*) from gate_results group by all order by all",
    ) == [(release_id, 4) for release_id in sorted(ids)]
    assert [r.release_id for r in list_releases(paths)] == ids[::-1]


READER = (
    "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'reads'); "
    "print('open', flush=True); sys.stdin.read()"
)


@contextmanager
def another_program(file: Path, does: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(file), does],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate()


def test_a_reader_of_the_state_holds_nothing_up(paths, monkeypatch):
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.2)
    release(paths, "a")
    with another_program(paths.state, "reads"):
        release(paths, "b")
        assert read_whole(paths) == "b"
        assert len(list_releases(paths)) == 2


def test_nothing_moves_where_another_program_writes_the_state(paths, monkeypatch):
    release(paths, "a")
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.2)
    with another_program(paths.state, "writes"):
        before = checksums(paths.published)
        with pytest.raises(WinbackError, match="open for writing"):
            switch_to(paths, identity("a").release_id)
        with pytest.raises(WinbackError, match="open for writing"):
            recover(paths, print)
        with pytest.raises(WinbackError, match="open for writing"):
            release(paths, "b")
    shutil.rmtree(paths.candidate)
    assert checksums(paths.published) == before
    release(paths, "b")
    assert read_whole(paths) == "b"


def test_a_run_killed_while_it_created_the_state_does_no_harm(paths):
    paths.state.parent.mkdir(parents=True)
    (paths.state.parent / ".tmp-state.duckdb").touch()
    release(paths, "a")
    assert files_of(paths) == ["state.duckdb"]


def files_of(paths: SourcePaths) -> list[str]:
    return sorted(path.name for path in paths.state.parent.iterdir())


def test_what_a_kill_left_beside_the_state_enters_no_other_file(paths):
    """The log of a working copy would be replayed into the next one."""
    release(paths, "a")
    working = paths.state.with_name(".tmp-state.duckdb")
    shutil.copy(paths.state, working)
    lines = (
        "import duckdb, os, sys; con = duckdb.connect(sys.argv[1]); "
        "con.execute(\"insert into switches values (now(), 'never', 'publish')\"); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", lines, str(working)], check=False).returncode == 9
    assert working.with_name(f"{working.name}.wal").exists()
    release(paths, "b")
    assert len(query(paths.state, "from switches")) == 2
    assert files_of(paths) == ["state.duckdb", "state.former.duckdb"]


def test_what_a_program_left_in_the_log_of_the_state_is_kept(paths):
    """Written in place, as former versions did, and killed."""
    release(paths, "a")
    lines = (
        "import duckdb, os, sys; con = duckdb.connect(sys.argv[1]); "
        "con.execute('insert into switches select * from switches'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", lines, str(paths.state)], check=False)
    assert paths.state.with_name("state.duckdb.wal").exists()
    release(paths, "b")
    assert len(query(paths.state, "from switches")) == 3
    assert files_of(paths) == ["state.duckdb", "state.former.duckdb"]


def test_the_state_of_before_stays_beside_it_and_nothing_is_written_for_nothing(paths):
    release(paths, "a")
    before = paths.state.read_bytes()
    release(paths, "b")
    assert paths.former_state.read_bytes() == before
    files = {path: path.stat().st_mtime_ns for path in paths.state.parent.iterdir()}
    recover(paths, print)
    release(paths, "b")
    assert {path: path.stat().st_mtime_ns for path in paths.state.parent.iterdir()} == files


def test_what_fails_while_the_state_is_written_leaves_it_as_it_was(paths):
    release(paths, "a")
    before = checksums(paths.state.parent)
    with pytest.raises(ZeroDivisionError), open_state(paths) as con:
        con.execute("delete from state.main.switches")
        raise ZeroDivisionError
    assert checksums(paths.state.parent) == before


def test_a_state_of_a_later_version_is_not_taken_for_damaged(paths, monkeypatch):
    release(paths, "a")
    before = checksums(paths.state.parent)

    def refuse(*_, **__) -> None:
        raise duckdb.IOException("Try opening the file with a newer version of DuckDB.")

    monkeypatch.setattr(state, "attach", refuse)
    with pytest.raises(WinbackError, match=r"later version of DuckDB.*Nothing was changed"):
        recover(paths, print)
    assert checksums(paths.state.parent) == before
