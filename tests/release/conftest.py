"""Fixtures of the tests of releases; the functions behind them are in `releases`."""

from pathlib import Path

import pytest

from dagster_project.paths import SourcePaths


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")
