"""Fixtures of the gates' tests: the small warehouse and release, for each test to spoil."""

from pathlib import Path

import pytest
from support.gate_cases import make
from support.small_release import PUBLISHED, RELEASE
from support.small_warehouse import LINES, WAREHOUSE


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return make(tmp_path / "warehouse.duckdb", WAREHOUSE + LINES)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make(tmp_path / "winback.duckdb", RELEASE + PUBLISHED)
