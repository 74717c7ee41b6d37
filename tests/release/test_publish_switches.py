"""Switching: back and forth between kept releases, which readers read without a pause."""

import subprocess
import sys
from datetime import date

import pytest
from support.releases import checksums, identity, query, read_whole, release

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.release import publish
from dagster_project.release.publish import rollback, switch_to
from dagster_project.release.state import current_release, find_release, list_releases

READER = """
import hashlib, pathlib, sys, time, duckdb
file, stop, started = sys.argv[1:]
held, count, seen = None, 0, set()
def marker(con):
    first = con.execute("select marker from lifecycle_flow").fetchone()[0]
    customers = con.execute("select distinct split_part(customer_id, '-', 1) from customers")
    assert customers.fetchall() == [(first,)]
    of_inputs = hashlib.sha256(f"raw {first}".encode()).hexdigest()
    own = con.execute("select count(*) from releases where input_fingerprint = ?", [of_inputs])
    assert own.fetchone() == (1,)
    assert con.execute("select marker from lifecycle_flow").fetchone()[0] == first
    return first
# A second name for the same file, else this process would get its own open instance again.
held = duckdb.connect(str(pathlib.Path(file).resolve()), read_only=True)
former = marker(held)
while not pathlib.Path(stop).exists():
    with duckdb.connect(file, read_only=True) as con:
        seen.add(marker(con))
    count += 1
    time.sleep(0.005)
    pathlib.Path(started).touch()
    assert marker(held) == former
print(count, len(seen))
"""


def test_a_release_kept_back_becomes_current_without_a_rebuild(paths):
    newer = release(paths, "newer")
    older = release(paths, "older", as_of=date(2023, 12, 31), make_current=False)
    assert not older.is_current
    assert read_whole(paths) == "newer"
    found = find_release(paths, older.release_id)
    assert found == older
    assert not found.was_current
    assert switch_to(paths, older.release_id).is_current
    assert read_whole(paths) == "older"
    assert find_release(paths, newer.release_id).is_current is False
    assert find_release(paths, identity("unknown").release_id) is None


def test_rollback_and_back(paths):
    ids = [release(paths, marker).release_id for marker in "abc"]
    before = checksums(paths.releases)
    assert rollback(paths).release_id == ids[1]
    assert read_whole(paths) == "b"
    # An unchanged run finds its release and sees that somebody has withdrawn it.
    assert find_release(paths, ids[2]).is_rolled_back
    assert rollback(paths).release_id == ids[0]
    assert read_whole(paths) == "a"
    with pytest.raises(WinbackError, match="no former release"):
        rollback(paths)
    assert rollback(paths, ids[2]).is_current
    assert read_whole(paths) == "c"
    assert not find_release(paths, ids[2]).is_rolled_back
    assert checksums(paths.releases) == before
    assert query(paths.state, "select release_id, kind from switches order by rowid") == [
        *((release_id, "publish") for release_id in ids),
        *((release_id, "rollback") for release_id in (ids[1], ids[0], ids[2])),
    ]


def test_rollback_passes_over_what_was_withdrawn_or_never_current(paths):
    good = release(paths, "good")
    release(paths, "bad")
    rollback(paths)
    release(paths, "past", as_of=date(2023, 12, 31), make_current=False)
    release(paths, "mended")
    assert rollback(paths).release_id == good.release_id


def test_rolling_forward_again_does_not_withdraw_the_earlier_release(paths):
    earlier, later = release(paths, "a"), release(paths, "b")
    rollback(paths)
    rollback(paths, later.release_id)
    assert not find_release(paths, earlier.release_id).is_rolled_back
    assert rollback(paths).release_id == earlier.release_id


@pytest.mark.parametrize("release_id", ["2024-01-31-0000000000", "../candidate", ""])
def test_rollback_to_an_unknown_release_lists_the_kept_ones(paths, release_id):
    kept = release(paths, "a")
    with pytest.raises(ConfigurationError, match=kept.release_id):
        rollback(paths, release_id)
    assert read_whole(paths) == "a"


def test_rollback_without_any_release(paths):
    with pytest.raises(WinbackError, match="no former release"):
        rollback(paths)
    assert current_release(paths) is None


@pytest.mark.usefixtures("no_grace")
def test_prune_keeps_the_last_and_the_current(paths):
    ids = [release(paths, marker, keep=2).release_id for marker in "ab"]
    rollback(paths)
    ids += [release(paths, marker, keep=2, make_current=False).release_id for marker in "cde"]
    kept = {path.name for path in paths.releases.iterdir()}
    assert kept == {ids[0], ids[3], ids[4]}
    assert read_whole(paths) == "a"
    assert [r.is_kept for r in list_releases(paths)] == [True, True, False, False, True]
    with pytest.raises(ConfigurationError):
        rollback(paths, ids[1])
    assert len(query(paths.state, "from releases")) == 5


def test_what_readers_had_within_the_hour_stays_until_the_next_publication(paths, monkeypatch):
    """Whoever has resolved the link once, as the README says, opens all files of one release."""
    first = release(paths, "a", keep=2).release_id
    resolved = paths.current.resolve()
    for marker in "bcde":
        release(paths, marker, keep=2)
    assert len(list(paths.releases.iterdir())) == 5
    for name in ("customers", "lifecycle_flow"):
        assert query(paths.state, f"from '{resolved}/parquet/{name}.parquet' limit 1")
    assert query(resolved / "winback.duckdb", "select marker from lifecycle_flow") == [("a",)]
    now = publish.utc_now()
    monkeypatch.setattr(publish, "utc_now", lambda: now + publish.GRACE)
    release(paths, "f", keep=2)
    assert first not in {path.name for path in paths.releases.iterdir()}
    assert len(list(paths.releases.iterdir())) == 3


@pytest.mark.usefixtures("no_grace")
def test_a_pruned_release_can_be_built_again(paths):
    first = release(paths, "a", keep=1)
    release(paths, "b", keep=1)
    release(paths, "c", keep=1)
    assert find_release(paths, first.release_id) is None
    again = release(paths, "a", keep=1)
    assert again.release_id == first.release_id
    assert again.published_at > first.published_at
    assert read_whole(paths) == "a"
    assert [r.is_current for r in list_releases(paths)] == [True, False, False]
    assert query(paths.state, "select count(*), count(distinct release_id) from releases") == [
        (3, 3)
    ]
    release(paths, "d", keep=1)
    assert query(
        paths.published_file, "select count(*), count(distinct release_id) from releases"
    ) == [(4, 4)]


@pytest.mark.usefixtures("no_grace")
def test_as_many_former_releases_as_said_stay_beside_the_current_one(paths):
    ids = [release(paths, marker, keep=3).release_id for marker in "abcde"]
    assert {path.name for path in paths.releases.iterdir()} == set(ids[1:])
    for former in reversed(ids[1:4]):
        assert rollback(paths).release_id == former


@pytest.mark.usefixtures("no_grace")
def test_releases_of_past_days_push_out_nothing_to_roll_back_to(paths):
    ids = [release(paths, marker, keep=2).release_id for marker in "abc"]
    ids += [release(paths, marker, keep=2, make_current=False).release_id for marker in "defg"]
    assert {path.name for path in paths.releases.iterdir()} == {*ids[:3], *ids[5:]}
    assert [rollback(paths).release_id, rollback(paths).release_id] == [ids[1], ids[0]]


@pytest.mark.usefixtures("no_grace")
def test_readers_see_neither_failure_nor_mixture_during_fifty_switches(paths, tmp_path):
    release(paths, "first")
    stop, started = tmp_path / "stop", tmp_path / "started"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(paths.published_file), str(stop), str(started)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not started.exists() and reader.poll() is None:
            pass
        switches = 0
        for number in range(10):
            # Two former ones are kept, so the reader's first release is deleted under its hands.
            newest = release(paths, f"m{number}", keep=2)
            switches += 1
            for _ in range(2):
                rollback(paths)
                switch_to(paths, newest.release_id)
                switches += 2
        assert switches == 50
    finally:
        stop.touch()
        out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    opened, markers = map(int, out.split())
    assert opened > 50
    assert markers > 2
