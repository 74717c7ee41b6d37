"""Fixtures of several folders; the functions behind them are in `shop`."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from shop import SHOP, copy_data, make_shop, winback

from dagster_project.paths import PROJECT_DIR


@pytest.fixture(scope="session")
def published_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data directory of a shop with its first release; copy it, don't change it."""
    # The workers of one test session share it.
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    data_dir, done = root / "published_shop", root / "published_shop.done"
    with (root / "published_shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(data_dir, ignore_errors=True)
            make_shop(data_dir)
            outcome = winback("run", "--source", SHOP, data_dir=data_dir)
            assert outcome.code == 0, outcome.messages
            done.touch()
    return data_dir


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data that is not part of the project."""
    given = os.environ.get("WINBACK_SHARED_DATA")
    folder = Path(given) if given else PROJECT_DIR.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder} (or WINBACK_SHARED_DATA)")
    return folder


@pytest.fixture
def shop(published_shop: Path, tmp_path: Path) -> Path:
    """Return an own copy of the published shop's data directory."""
    return copy_data(published_shop, tmp_path / "data")
