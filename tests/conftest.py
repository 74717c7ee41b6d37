"""Fixtures of several folders; the functions behind them are in `shop`."""

import gc
import os
import shutil
from pathlib import Path

import pytest
from support.shop import SHOP, Outcome, copy_data, make_shop, run_once

from dagster_project.paths import PROJECT_DIR, SourcePaths

# No test tells anyone, whatever a developer's own `.env` says.
os.environ["WINBACK_NOTIFY_URLS"] = ""
# As the command line does it, for the same reason.
gc.set_threshold(50_000, 20, 50)

pytest_plugins = ("support.fuzzing",)


# Folders whose files take longest, the longest first.
LONGEST = ("whole", "models", "release")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it at the end."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the workers of one test session share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session")
def published_shop(shared_root: Path) -> Path:
    """Return the data directory of a shop with its first release; copy it, don't change it."""
    data_dir = shared_root / "published_shop"
    run_once(data_dir, SHOP, make_shop)
    return data_dir


@pytest.fixture(scope="session")
def published_cdnow(shared_root: Path) -> tuple[SourcePaths, Outcome]:
    """Return where the CDNOW sample is published, and what the run said."""
    paths = SourcePaths(shared_root / "published_cdnow", "cdnow_sample")
    return paths, run_once(paths.data_dir, paths.source)


@pytest.fixture(scope="session")
def published_online_retail(shared_root: Path, shared_data: Path) -> SourcePaths:
    """Return where the gift wholesaler's data are published."""
    paths = SourcePaths(shared_root / "published_online_retail", "online_retail")

    def deliver(_: Path) -> None:
        paths.landing.mkdir(parents=True)
        shutil.copy(shared_data / "online_retail_2010_2011.parquet", paths.landing)

    run_once(paths.data_dir, paths.source, deliver)
    return paths


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
