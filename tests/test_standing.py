"""What readers have now, as every message says it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.paths import SourcePaths
from dagster_project.standing import what_stands

NOTHING = "Readers of shop have no release until a run publishes one."
DAMAGED = (
    "Readers keep the winback.duckdb of release r1, which is whole though other files of the "
    "release are damaged."
)


def file_of(folder: Path) -> Path:
    folder.mkdir(parents=True)
    file = folder / "winback.duckdb"
    file.touch()
    return file


def released(paths: SourcePaths) -> None:
    file_of(paths.releases / "r1")
    paths.current.symlink_to("releases/r1")


def without_file(paths: SourcePaths) -> None:
    released(paths)
    (paths.releases / "r1" / "winback.duckdb").unlink()


def without_link(paths: SourcePaths) -> None:
    released(paths)
    paths.current.unlink()


def pointed_elsewhere(paths: SourcePaths) -> None:
    file_of(paths.data_dir / "mine")
    paths.published.mkdir(parents=True)
    paths.current.symlink_to(paths.data_dir / "mine")


def pointed_to_itself(paths: SourcePaths) -> None:
    paths.published.mkdir(parents=True)
    paths.current.symlink_to("current")


def damaged(paths: SourcePaths) -> None:
    file_of(paths.damaged / "r1")
    paths.current.symlink_to("damaged/r1")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (released, "Readers keep release r1."),
        (without_file, NOTHING),
        (without_link, NOTHING),
        (pointed_elsewhere, NOTHING),
        (pointed_to_itself, NOTHING),
        (damaged, DAMAGED),
        (lambda _: None, NOTHING),
    ],
)
def test_what_stands_is_what_a_reader_finds(
    tmp_path: Path, prepare: Callable[[SourcePaths], None], words: str
) -> None:
    paths = SourcePaths(tmp_path, "shop")
    prepare(paths)
    assert what_stands(paths) == words


def test_without_a_current_release_a_kept_one_may_be_shown(tmp_path: Path) -> None:
    paths = SourcePaths(tmp_path, "shop")
    without_link(paths)
    (paths.releases / "r1" / "manifest.json").touch()
    assert what_stands(paths) == (
        "Readers of shop have no release until a run publishes one; or give them a kept one with "
        "`winback rollback ID` (`winback releases`)."
    )


def test_a_data_directory_behind_a_link_is_read_as_any_other(tmp_path: Path) -> None:
    real = SourcePaths(tmp_path / "real", "shop")
    released(real)
    (tmp_path / "data").symlink_to("real")
    assert what_stands(SourcePaths(tmp_path / "data", "shop")) == "Readers keep release r1."


def test_what_may_not_be_looked_at_is_no_fault_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    paths = SourcePaths(tmp_path, "shop")
    released(paths)
    monkeypatch.setattr(Path, "is_file", refuse)
    assert what_stands(paths) == "What readers of shop have cannot be told: Permission denied."
