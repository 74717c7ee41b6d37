"""Files are found by the patterns of a source."""

from pathlib import Path

import pytest

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading.files import find_files


def test_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing, elsewhere = tmp_path / "landing", tmp_path / "elsewhere"
    for file in (landing / "a.csv", landing / "sub" / "b.csv", landing / ".hidden.csv",
                 elsewhere / "c.csv", landing / "odd [1].csv"):  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")

    def names(*patterns: str) -> list[str]:
        return [file.name for file in find_files(patterns, landing)]

    assert names("*.csv") == ["a.csv", "odd [1].csv"]
    assert names("**/*.csv", "a.csv") == ["a.csv", "odd [1].csv", "sub/b.csv"]
    assert names("odd [1].csv") == ["odd [1].csv"]
    assert names(f"{elsewhere}/*") == [str(elsewhere / "c.csv")]
    assert names("${NO_SUCH_VARIABLE:-a.csv}") == ["a.csv"]
    monkeypatch.setenv("SOME_FOLDER", str(elsewhere))
    assert names("${SOME_FOLDER}/c.csv") == [str(elsewhere / "c.csv")]
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE"):
        names("${NO_SUCH_VARIABLE}/c.csv")
    with pytest.raises(WinbackError, match=r"none\.csv is missing\. Put it there"):
        names("none.csv")
    with pytest.raises(WinbackError, match=r"package:nobody/x is missing: install"):
        names("package:nobody/x")


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(WinbackError, match=r"link .*/b\.csv leads to no file"):
        find_files(["*.csv"], tmp_path)
    (tmp_path / "gone.csv").touch()
    assert [file.name for file in find_files(["[ab].csv"], tmp_path)] == ["a.csv", "b.csv"]
