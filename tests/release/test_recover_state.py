"""What each start mends of the state: lost, older, damaged, or behind a run that was killed."""

import shutil
from collections.abc import Callable
from datetime import timedelta

import duckdb
import pytest
from support.damage import IDS, mend, truncate
from support.releases import build, checksums, identity, judge, query, read_whole, release

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release import publish as publishing
from dagster_project.release.publish import publish, rollback
from dagster_project.release.recover import recover
from dagster_project.release.state import (
    Release,
    current_release,
    find_release,
    is_rolled_back,
    list_releases,
)


def lose(paths: SourcePaths) -> None:
    shutil.rmtree(paths.state.parent)


def lose_the_file_alone(paths: SourcePaths) -> None:
    paths.state.unlink()


def spoil_state(content: Callable[[bytes], bytes], *, both: bool = False) -> Callable:
    def spoil(paths: SourcePaths) -> None:
        for file in (paths.state, paths.former_state)[: 2 if both else 1]:
            file.write_bytes(content(file.read_bytes()))

    return spoil


def without_history(paths: SourcePaths) -> None:
    paths.state.unlink()
    duckdb.connect(str(paths.state)).close()


def folder_for_the_state(paths: SourcePaths) -> None:
    paths.state.unlink()
    paths.state.mkdir()


def flip_a_byte(content: bytes) -> bytes:
    return content[:-3_000] + bytes([content[-3_000] ^ 255]) + content[-2_999:]


SPOILT = {
    "lost with its copy": lose,
    "lost": lose_the_file_alone,
    "empty": spoil_state(lambda _: b""),
    "both empty": spoil_state(lambda _: b"", both=True),
    "truncated": spoil_state(lambda content: content[: len(content) // 2]),
    "both truncated": spoil_state(lambda content: content[:20_000], both=True),
    "flipped": spoil_state(flip_a_byte),
    "text": spoil_state(lambda _: "客户，名单\n".encode("gbk") * 999),
    "without history": without_history,
    "a folder": folder_for_the_state,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_state_that_was_lost_is_put_together_again(history, spoil):
    before = list_releases(history)
    results = query(history.state, "from gate_results order by all")
    switches = query(history.state, "select release_id, kind from switches order by rowid")
    files = checksums(history.published)
    spoil(history)
    # Whoever looks meanwhile is not stopped by it.
    list_releases(history)
    said = mend(history)
    assert str(history.state) in said[0]
    assert list_releases(history) == before
    assert query(history.state, "from gate_results order by all") == results
    assert query(history.state, "select release_id, kind from switches order by rowid") == switches
    assert checksums(history.published) == files
    assert rollback(history).release_id == IDS["c"]


def test_a_damaged_state_is_kept_to_be_looked_at(history):
    history.state.write_bytes(b"text")
    said = mend(history)
    (kept,) = history.state.parent.glob("state.damaged-*.duckdb")
    assert kept.read_bytes() == b"text"
    assert str(kept) in said[0]


@pytest.fixture(scope="module")
def older_state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the state as it was when a was published."""
    paths = SourcePaths(tmp_path_factory.mktemp("older"), "shop")
    release(paths, "a")
    return paths.state.read_bytes()


def restore(paths: SourcePaths, content: bytes) -> None:
    lose(paths)
    paths.state.parent.mkdir()
    paths.state.write_bytes(content)


def test_an_older_state_takes_up_the_releases_it_does_not_know(history, older_state):
    before = {one.release_id: one for one in list_releases(history)}
    files = checksums(history.published)
    restore(history, older_state)
    (said,) = mend(history)
    assert "did not hold these releases, published after it was written" in said
    assert all(IDS[one] in said for one in "bcde")
    assert {one.release_id: one for one in list_releases(history)} == before
    assert checksums(history.published) == files
    assert rollback(history).release_id == IDS["c"]


@pytest.mark.parametrize("is_older", [False, True])
def test_what_was_rolled_back_after_the_state_is_told_by_the_link(history, older_state, is_older):
    rollback(history)
    restore(history, older_state) if is_older else lose(history)
    mend(history)
    assert current_release(history).release_id == IDS["c"]
    assert is_rolled_back(history, IDS["e"])
    assert rollback(history).release_id == IDS["b"]


def test_a_lost_state_and_lost_links_at_once(history):
    lose(history)
    history.current.unlink()
    history.published_file.unlink()
    mend(history)
    assert read_whole(history) == "e"


def test_a_lost_state_and_a_damaged_current_release_at_once(history):
    """With e goes what only e told: that d was left. The link told it of none of them."""
    lose(history)
    truncate(history.releases / IDS["e"])
    mend(history)
    assert read_whole(history) == "c"


def test_a_lost_state_and_a_damaged_former_release_at_once(history):
    lose(history)
    truncate(history.releases / IDS["c"])
    mend(history)
    assert read_whole(history) == "e"
    assert rollback(history).release_id == IDS["b"]


def test_a_release_readers_never_saw_is_not_what_they_get(paths):
    seen = release(paths, "a")
    kept = release(paths, "kept", make_current=False)
    lose(paths)
    paths.current.unlink()
    mend(paths)
    assert current_release(paths).release_id == seen.release_id
    assert not find_release(paths, kept.release_id).was_current


def test_the_clock_a_day_back_loses_nothing(history, monkeypatch):
    now = publishing.utc_now()
    for module in ("publish", "state", "recover"):
        monkeypatch.setattr(
            f"dagster_project.release.{module}.utc_now", lambda: now - timedelta(days=1)
        )
    later = release(history, "f")
    switches = query(history.state, "select release_id, kind from switches order by all")
    lose(history)
    mend(history)
    assert current_release(history).release_id == later.release_id
    recorded = query(history.state, "select release_id, kind from switches order by all")
    assert recorded == switches
    truncate(history.releases / later.release_id)
    mend(history)
    assert read_whole(history) == "e"


# --- a kill between the writes ----------------------------------------------------------------


def cut(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, name, die)


def publish_cut(paths: SourcePaths, marker: str, before: str) -> Release:
    made_from = build(paths, marker)
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        cut(patched, before)
        publish(paths, make_current=True)
    mend(paths)
    return find_release(paths, made_from.release_id)


def test_a_publication_that_was_cut_short_before_the_switch_is_finished_by_the_next_run(paths):
    release(paths, "a")
    cut_short = publish_cut(paths, "b", "switch")
    assert read_whole(paths) == "a"
    assert cut_short.is_unseen
    assert not cut_short.was_current
    assert not cut_short.is_rolled_back
    # Nobody went back from what nobody saw, and a rollback goes to what readers had.
    with pytest.raises(WinbackError, match="no former release"):
        rollback(paths)
    finished = release(paths, "b")
    assert finished.is_current
    assert not finished.is_unseen
    assert read_whole(paths) == "b"


def test_a_publication_that_was_cut_short_after_the_switch_is_recorded(paths):
    release(paths, "a")
    cut_short = publish_cut(paths, "b", "record_release")
    assert cut_short.is_current
    assert not cut_short.is_unseen
    assert read_whole(paths) == "b"
    assert rollback(paths).release_id == identity("a").release_id


def test_a_switch_that_is_recorded_late_is_no_rollback_from_a_damaged_release(history):
    """Killed after another release was shown and before the state had it."""
    truncate(history.releases / IDS["e"])
    state = history.state.read_bytes()
    recover(history, print)
    history.state.write_bytes(state)
    mend(history)
    assert read_whole(history) == "c"
    assert not is_rolled_back(history, IDS["e"])
