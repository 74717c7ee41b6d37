"""Files appear whole or not at all."""

import hashlib
import stat
import threading
from pathlib import Path

import pytest

from dagster_project.files import (
    appearing_whole,
    delete,
    file_hash,
    remove,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_nobody_sees_a_file_before_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "table.csv"
    with appearing_whole(file) as temporary:
        temporary.write_text("half")
        assert not file.exists()
    assert file.read_text() == "half"
    with appearing_whole(file) as temporary:
        temporary.write_text("whole")
        assert file.read_text() == "half"
    assert file.read_text() == "whole"
    assert names(file.parent) == ["table.csv"]


def test_what_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_text(file, "former")

    def fail() -> None:
        with appearing_whole(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_text() == "former"
    assert names(tmp_path) == ["table.csv"]


def test_what_a_kill_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".tmp-table.csv").write_text("half of another")
    with appearing_whole(tmp_path / "table.csv") as temporary:
        assert not temporary.exists()
        temporary.write_text("whole")
    assert names(tmp_path) == ["table.csv"]


def test_a_link_is_replaced_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "current"
    for target in ("one", "two"):
        # Where it points need not be there, or may be a folder.
        with appearing_whole(link) as temporary:
            temporary.symlink_to(target)
        assert str(link.readlink()) == target
        (tmp_path / "two").mkdir(exist_ok=True)
    with appearing_whole(link) as temporary:
        temporary.symlink_to("three")
    assert str(link.readlink()) == "three"
    assert (tmp_path / "two").is_dir()


def test_a_secret_is_at_no_time_readable_by_others(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with appearing_whole(file, mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_text("secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    write_text(file, "other", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_makers_of_a_shared_file_do_not_take_each_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "parsed"
    with appearing_whole(file, is_shared=True) as temporary:
        temporary.write_text("first")
        monkeypatch.setattr("dagster_project.files.os.getpid", lambda: 1)
        with appearing_whole(file, is_shared=True) as other:
            other.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert names(tmp_path) == ["parsed"]


def test_readers_find_one_content_or_the_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = ["a" * 200_000, "b" * 100_000]
    write_text(file, contents[0])
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(file.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        write_text(file, contents[number % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_json_can_be_read_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"地区": ["北京", Path("x")]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "地区": [\n    "北京",\n    "x"\n  ]\n}\n'
    )


@pytest.mark.parametrize("content", [b"", b"abc", bytes(3_000_000)])
def test_hash_is_sha256(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert file_hash(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_remove_and_delete(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / ".tmp-folder").mkdir()
    remove(tmp_path / "folder")
    remove(tmp_path / "folder")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    delete(tmp_path / "link")
    delete(tmp_path / "link")
    assert names(tmp_path) == ["kept"]
