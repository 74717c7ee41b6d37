"""Fixtures of the tests of releases; the functions behind them are in `releases`."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from support.damage import publish_history
from support.kept_shop import KeptShop, kept_shop

from dagster_project.paths import SourcePaths
from dagster_project.release import publish


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


@pytest.fixture(scope="session")
def published_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = SourcePaths(tmp_path_factory.mktemp("history"), "shop")
    publish_history(paths)
    return paths.data_dir


@pytest.fixture
def history(published_history: Path, tmp_path: Path) -> SourcePaths:
    """Return a copy of the published history, which keeps links and times."""
    copy = shutil.copytree(published_history, tmp_path / "data", symlinks=True)
    return SourcePaths(copy, "shop")


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a release be superfluous at once."""
    monkeypatch.setattr(publish, "GRACE", timedelta(0))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> KeptShop:
    return kept_shop(tmp_path_factory.mktemp("loaded") / "data")


@pytest.fixture
def shop(loaded: KeptShop, tmp_path: Path) -> KeptShop:
    return loaded.copied(tmp_path / "data")
