"""Fixtures of the tests of releases; the functions behind them are in `releases`."""

from datetime import timedelta
from pathlib import Path

import pytest

from dagster_project.paths import SourcePaths
from dagster_project.release import publish


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a release be superfluous at once."""
    monkeypatch.setattr(publish, "GRACE", timedelta(0))
