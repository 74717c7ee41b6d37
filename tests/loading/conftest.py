"""Fixtures of the tests of loading."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.raw_shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as one:
        yield one
