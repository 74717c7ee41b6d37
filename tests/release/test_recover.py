"""What each start mends of releases and links: readers have a whole release.

`history` is a, b, c, d, back to c, a past day that readers never saw, e.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.damage import IDS, PAST, mend, truncate
from support.releases import (
    identity,
    query,
    read_whole,
    release,
    write_again,
)

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release.publish import rollback, switch_to
from dagster_project.release.recover import KEPT_DAMAGED, recover
from dagster_project.release.state import (
    current_release,
    find_answer,
    find_release,
    is_rolled_back,
    list_releases,
)
from dagster_project.release.verify import verify

# --- a damaged release ------------------------------------------------------------------------


def flip(folder: Path) -> str:
    file = folder / "winback.duckdb"
    write_again(file, flipped(file))
    return "winback.duckdb has other bytes than were published"


def flip_the_header_in_no_time(folder: Path) -> str:
    """Same size, same time: the file cannot even be opened."""
    file = folder / "winback.duckdb"
    write_again(file, flipped(file, 100), keep_time=True)
    return "winback.duckdb has other bytes than were published"


def flipped(file: Path, place: int = -60_000) -> bytes:
    content = bytearray(file.read_bytes())
    content[place] ^= 255
    return bytes(content)


def delete_file(folder: Path) -> str:
    (folder / "winback.duckdb").unlink()
    return "winback.duckdb is missing"


def delete_parquet(folder: Path) -> str:
    (folder / "parquet" / "customers.parquet").unlink()
    return "parquet/customers.parquet is missing"


def delete_all_parquet(folder: Path) -> str:
    shutil.rmtree(folder / "parquet")
    return "parquet/lifecycle_flow.parquet is missing and 1 more"


def empty_parquet(folder: Path) -> str:
    write_again(folder / "parquet" / "customers.parquet", b"")
    return "parquet/customers.parquet has 0 bytes instead of"


def delete_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "manifest.json is missing"


def truncate_manifest(folder: Path) -> str:
    file = folder / "manifest.json"
    write_again(file, file.read_bytes()[:-20])
    return "manifest.json is not the JSON that was written"


def nest_manifest(folder: Path) -> str:
    write_again(folder / "manifest.json", b"[" * 100_000)
    return "manifest.json is not the JSON that was written"


def edit_manifest(folder: Path) -> str:
    file = folder / "manifest.json"
    write_again(file, file.read_bytes().replace(b'"currency": "EUR"', b'"currency": "USD"'))
    return "manifest.json has been changed since it was written"


def manifest_of_another(folder: Path) -> str:
    other = next(one for one in folder.parent.iterdir() if one != folder)
    write_again(folder / "manifest.json", (other / "manifest.json").read_bytes())
    return f"manifest.json is that of release {other.name}"


def folder_for_a_file(folder: Path) -> str:
    (folder / "winback.duckdb").unlink()
    (folder / "winback.duckdb").mkdir()
    return "winback.duckdb has "


def delete_folder(folder: Path) -> str:
    shutil.rmtree(folder)
    return ""


DAMAGES = [
    truncate,
    flip,
    flip_the_header_in_no_time,
    delete_file,
    delete_parquet,
    delete_all_parquet,
    empty_parquet,
    delete_manifest,
    truncate_manifest,
    nest_manifest,
    edit_manifest,
    manifest_of_another,
    folder_for_a_file,
]
Damage = Callable[[Path], str]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_current_release_gives_way_to_the_newest_that_readers_had(history, damage):
    """Not to d, which was rolled back from, nor to the past day, which they never saw."""
    fault = damage(history.releases / IDS["e"])
    if damage is not flip_the_header_in_no_time:
        # The sensor asks for a run.
        assert find_answer(history, identity("e").input_fingerprint) is None
    (said,) = mend(history)
    assert said.startswith(f"The current release {IDS['e']} is damaged: ")
    assert fault in said
    assert f"Readers have {IDS['c']} now" in said
    assert f"It is moved to {history.damaged / IDS['e']}; `winback run` builds it again" in said
    assert read_whole(history) == "c"
    assert find_release(history, IDS["e"]) is None
    assert not is_rolled_back(history, IDS["e"])


def test_a_damaged_current_release_is_built_again_and_readers_get_it(history):
    truncate(history.releases / IDS["e"])
    mend(history)
    assert release(history, "e").release_id == IDS["e"]
    assert read_whole(history) == "e"
    assert rollback(history).release_id == IDS["c"]


@pytest.mark.parametrize("damage", [truncate, flip, delete_parquet, delete_manifest, edit_manifest])
def test_a_damaged_former_release_is_not_rolled_back_to(history, damage):
    fault = damage(history.releases / IDS["c"])
    (said,) = mend(history)
    assert f"Release {IDS['c']}, not the current one, is damaged: {fault}" in said
    assert "readers notice nothing" in said
    with pytest.raises(WinbackError, match=f"{IDS['c']} is damaged|no kept release"):
        rollback(history, IDS["c"])
    assert read_whole(history) == "e"
    assert rollback(history).release_id == IDS["b"]
    assert read_whole(history) == "b"


def test_a_rolled_back_release_stays_rolled_back_though_its_files_go(history):
    rollback(history)
    truncate(history.releases / IDS["e"])
    mend(history)
    assert find_release(history, IDS["e"]) is None
    assert is_rolled_back(history, IDS["e"])
    assert find_answer(history, identity("e").input_fingerprint).release_id == IDS["e"]
    assert read_whole(history) == "c"


@pytest.mark.parametrize("damage", [delete_parquet, empty_parquet])
def test_the_only_release_keeps_its_file_for_readers_until_a_run_publishes(paths, damage):
    only = release(paths, "a")
    damage(paths.releases / only.release_id)
    _, (foretold,) = verify(paths)
    assert "leaves readers its winback.duckdb, which is whole, until it publishes" in foretold
    (said,) = mend(paths)
    assert (
        "There is no other release to show. Readers keep the winback.duckdb of release "
        f"{only.release_id}, which is whole though other files of the release are damaged."
    ) in said
    assert query(paths.published_file, "select marker from lifecycle_flow") == [("a",)]
    assert current_release(paths) is None
    assert find_release(paths, only.release_id) is None
    _, faults = verify(paths)
    assert faults == [
        f"{paths.current} points to damaged/{only.release_id}, a damaged release; the next run "
        "publishes a whole one."
    ]
    assert release(paths, "a") == current_release(paths)
    assert read_whole(paths) == "a"


@pytest.mark.parametrize("damage", [truncate, delete_file, delete_manifest, delete_folder])
def test_where_nothing_whole_is_left_it_is_said_and_the_next_run_publishes(paths, damage):
    only = release(paths, "a")
    damage(paths.releases / only.release_id)
    said: list[str] = []
    recover(paths, said.append)
    assert "Readers of shop have no release until a run publishes one." in said[0]
    assert not paths.published_file.exists()
    assert not paths.current.is_symlink()
    assert release(paths, "a").is_current
    assert read_whole(paths) == "a"


def test_a_current_release_that_is_not_there_gives_way_too(history):
    delete_folder(history.releases / IDS["e"])
    (said,) = mend(history)
    assert f"pointed to releases/{IDS['e']}, and {IDS['e']} is not there. Readers have" in said
    assert read_whole(history) == "c"
    assert find_release(history, IDS["e"]) is None
    assert not is_rolled_back(history, IDS["e"])


def test_where_all_that_was_published_has_gone_it_is_said(history):
    shutil.rmtree(history.published)
    said: list[str] = []
    recover(history, said.append)
    assert "Readers of shop have no release until a run publishes one." in said[0]
    assert release(history, "e").is_current


def test_two_damaged_at_once(history):
    truncate(history.releases / IDS["e"])
    delete_manifest(history.releases / IDS["c"])
    assert len(mend(history)) == 2
    assert read_whole(history) == "b"
    assert {entry.name for entry in history.damaged.iterdir()} == {IDS["e"], IDS["c"]}


def test_only_the_last_damaged_ones_stay(history):
    for marker in "edcba":
        truncate(history.releases / IDS[marker])
        recover(history, print)
    assert KEPT_DAMAGED == 3
    assert {entry.name for entry in history.damaged.iterdir()} == {IDS[one] for one in "cba"}


def test_a_release_that_was_copied_is_as_good_as_before(history):
    """A restored folder has other times; its hashes are compared once."""
    times = {file: file.stat().st_mtime_ns // 1_000 for file in history.releases.rglob("*.*")}
    for file in times:
        os.utime(file)
    assert mend(history) == []
    assert read_whole(history) == "e"
    files = [file for file in times if file.suffix in (".duckdb", ".parquet")]
    assert len(files) == 6 * 5
    assert all(file.stat().st_mtime_ns // 1_000 == times[file] for file in files)
    assert verify(history)[1] == []


def flip_in_no_time(folder: Path) -> None:
    """Change a byte of the data; size and time stay."""
    file = folder / "parquet" / "customers.parquet"
    write_again(file, flipped(file, -200), keep_time=True)


def test_what_only_verify_sees_is_seen_by_the_next_run(history):
    flip_in_no_time(history.releases / IDS["e"])
    assert mend(history) == []
    whole, faults = verify(history)
    others = [*(IDS[one] for one in "abcd"), identity("past", PAST).release_id]
    assert whole == sorted((f"{one} is whole" for one in others), reverse=True)
    assert faults == [
        f"{IDS['e']} is damaged: parquet/customers.parquet has other bytes than were published; "
        f"the next run moves it to {history.damaged}, makes {IDS['c']} current and, if its files "
        "and settings are still the same, builds it again."
    ]
    assert len(mend(history)) == 1
    assert read_whole(history) == "c"


def test_rollback_reads_every_byte_before(history):
    for one in "abc":
        flip_in_no_time(history.releases / IDS[one])
    said: list[str] = []
    with pytest.raises(WinbackError, match=rf"{IDS['a']} is damaged and stands in .*Name another"):
        rollback(history, IDS["a"], inform=said.append)
    with pytest.raises(WinbackError, match="no former release"):
        rollback(history, inform=said.append)
    assert [one.split(",")[0] for one in said] == [f"Release {IDS[one]}" for one in "acb"]
    assert read_whole(history) == "e"


def test_rolling_back_to_the_current_one_that_is_damaged_shows_another(history):
    flip_in_no_time(history.releases / IDS["e"])
    with pytest.raises(WinbackError, match="is damaged and stands in"):
        rollback(history, IDS["e"], inform=lambda _: None)
    assert read_whole(history) == "c"


def test_a_switch_to_a_damaged_release_does_not_happen(history):
    truncate(history.releases / IDS["d"])
    with pytest.raises(WinbackError, match=r"is damaged \(winback.duckdb has 5,000 bytes"):
        switch_to(history, IDS["d"])
    assert read_whole(history) == "e"


def test_a_release_of_another_source_is_none(history):
    other = SourcePaths(history.data_dir, "mall")
    other.published.parent.mkdir(exist_ok=True)
    shutil.copytree(history.releases / IDS["a"], other.releases / IDS["a"])
    said = mend(other)[-1]
    assert f"{IDS['a']}, not the current one, is damaged: manifest.json is of the source" in said
    assert list_releases(other) == []


def test_what_is_no_release_stays_but_out_of_the_way(history):
    (history.releases / "notes").mkdir()
    (history.releases / "notes" / "why.txt").write_text("kept")
    (history.releases / "README").write_text("kept")
    assert len(mend(history)) == 1
    assert (history.damaged / "notes" / "why.txt").read_text() == "kept"
    assert (history.releases / "README").read_text() == "kept"
    assert read_whole(history) == "e"


def test_no_damaged_release_is_offered_where_readers_have_none(history):
    for marker in "abce":
        shutil.rmtree(history.releases / IDS[marker])
    shutil.rmtree(history.releases / identity("past", PAST).release_id)
    truncate(history.releases / IDS["d"])
    said: list[str] = []
    recover(history, said.append)
    assert said[0].endswith("Readers of shop have no release until a run publishes one.")
    assert said[1].endswith("so that nobody rolls back to it.")
    assert len(said) == 2
