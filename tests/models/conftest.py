"""Warehouses that several files of this folder read: built once a session, never changed."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reference.known import Known
from reference.worlds import WORLDS, Built
from support.four_years import FourYears, make_customers, make_four_years
from support.random_shop import Events, World, build, make_shop, random_events

from dagster_project.paths import SourcePaths


def build_once(folder: Path, fill: Callable[[], object], *, waits: bool = True) -> bool:
    """Fill a folder unless a worker of this session has done so, and return whether it is full.

    Args:
        folder: Where all workers look for it.
        fill: Makes the folder and what is in it.
        waits: For a worker who is at it; else the answer is no.
    """
    done = folder.with_suffix(".done")
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            fill()
            done.touch()
        return True


@pytest.fixture(scope="session")
def built(shared_root: Path) -> dict[str, Built]:
    """Return the two shops; who would write into a warehouse copies it."""
    shops: dict[str, Built] = {}
    # Two workers who ask at once build one each.
    for waits in (False, True):
        for name, world in WORLDS.items():
            folder, events = shared_root / f"world_{name}", random_events(world, 500)

            def fill(folder: Path = folder, world: World = world, events: Events = events) -> None:
                paths = make_shop(folder, world)
                build(paths, world, events, "build", "--exclude-resource-type", "test", "unit_test")

            if name not in shops and build_once(folder, fill, waits=waits):
                shops[name] = Built(SourcePaths(folder, "shop"), Known(world, events))
    return shops


@pytest.fixture(scope="session")
def four_years(shared_root: Path) -> FourYears:
    """Return the shop of four years; who would write into its warehouse copies it."""
    paths, customers = SourcePaths(shared_root / "four_years", "shop"), make_customers(1200)
    build_once(paths.data_dir, lambda: make_four_years(paths, customers))
    return FourYears(paths, customers)
