"""The history in the state: carried by each release, waited for, mended when it was lost."""

import shutil
import subprocess
import sys

import pytest
from support.releases import checksums, identity, query, read_whole, release

from dagster_project import warehouse
from dagster_project.errors import WinbackError
from dagster_project.release.publish import recover, switch_to
from dagster_project.release.state import list_releases


def test_each_release_carries_the_history_before_it(paths):
    ids = [release(paths, marker).release_id for marker in "abc"]
    assert [row[0] for row in query(paths.published_file, "select release_id from releases")] == ids
    assert query(
        paths.published_file,
        "select release_id, count(*) from gate_results group by all order by all",
    ) == [(release_id, 4) for release_id in sorted(ids)]
    assert [r.release_id for r in list_releases(paths)] == ids[::-1]


def test_a_reader_of_the_state_is_waited_for(paths):
    release(paths, "a")
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys, time; con = duckdb.connect(sys.argv[1], read_only=True); "
            "print('open', flush=True); time.sleep(1)",
            str(paths.state),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "open\n"
    release(paths, "b")
    assert read_whole(paths) == "b"
    assert reader.wait() == 0


def test_nothing_moves_where_the_state_cannot_be_written(paths, monkeypatch):
    release(paths, "a")
    monkeypatch.setattr(warehouse, "LOCK_PATIENCE_SECONDS", 0.2)
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); "
            "print('open', flush=True); sys.stdin.read()",
            str(paths.state),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "open\n"
    before = checksums(paths.published)
    with pytest.raises(WinbackError, match="open in another program"):
        switch_to(paths, identity("a").release_id)
    with pytest.raises(WinbackError, match="open in another program"):
        release(paths, "b")
    reader.communicate()
    shutil.rmtree(paths.candidate)
    assert checksums(paths.published) == before
    release(paths, "b")
    assert read_whole(paths) == "b"


def test_recover_mends_a_lost_state_from_the_current_release(paths):
    before = [release(paths, marker) for marker in "abc"]
    results = query(paths.state, "from gate_results order by all")
    paths.state.unlink()
    recover(paths)
    assert [r.release_id for r in list_releases(paths)] == [r.release_id for r in before[::-1]]
    assert query(paths.state, "from gate_results order by all") == results
    assert read_whole(paths) == "c"
    recover(paths)
    assert len(query(paths.state, "from switches")) == 1


def test_a_run_killed_while_it_created_the_state_does_no_harm(paths):
    paths.state.parent.mkdir(parents=True)
    (paths.state.parent / ".tmp-state.duckdb").touch()
    release(paths, "a")
    assert [path.name for path in paths.state.parent.iterdir()] == ["state.duckdb"]
