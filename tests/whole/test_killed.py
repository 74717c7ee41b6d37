"""`kill -9` of a run: readers keep a whole release, and the next plain run succeeds."""

import json
import os
import signal
import time
from pathlib import Path

import duckdb
import pytest
from support.shop import SHOP, add_sales, shop_paths, start_winback, winback

from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths

pytestmark = pytest.mark.timeout(900)
RUN = ("run", "--source", SHOP)
# Steps after whose start runs are killed, with a delay: they differ in what is open then.
# The second run is the next one after the first. WINBACK_KILL_POINTS=20 kills one run each at that
# many moments spread over a whole run instead.
Kill = tuple[str, float]
POINTS: list[list[Kill]] = [[("models", 3.5), ("release/current", 0.02)]]


def kills() -> list[list[Kill]]:
    count = int(os.environ.get("WINBACK_KILL_POINTS", "0"))
    seconds = float(os.environ.get("WINBACK_KILL_SECONDS", "16"))
    return [[("", seconds * number / count)] for number in range(count)] or POINTS


@pytest.mark.parametrize("killed", kills())
def test_readers_keep_a_whole_release_and_the_next_run_succeeds(
    shop: Path, killed: list[Kill]
) -> None:
    paths = shop_paths(shop)
    former = whole_release(paths)
    add_sales(paths, 20)
    for step, delay in killed:
        kill_a_run(shop, step, delay)
        left = whole_release(paths)
    started = time.monotonic()
    outcome = winback(*RUN, data_dir=shop)
    assert outcome.code == 0, outcome.messages
    assert "waiting" not in outcome.messages
    latest = whole_release(paths)
    assert latest != former
    assert left in (former, latest)
    assert time.monotonic() - started < 120
    # Nothing half-made is left.
    assert not list(paths.published.glob(".tmp-*"))
    assert not paths.candidate.exists()
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        assert connection.execute(
            "select count(*), count(distinct transaction_id) from raw.transactions"
        ).fetchall()[0] == (349 + 20, 349 + 20)


def kill_a_run(shop: Path, step: str, delay: float) -> None:
    """Start a run, kill it so many seconds after a step has begun; no process of it is left."""
    with start_winback(*RUN, data_dir=shop) as process:
        while step and process.stderr.readline().strip() != step:
            assert process.poll() is None
        time.sleep(delay)
        children = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "dbt outlives the killed run"
        time.sleep(0.05)


def whole_release(paths: SourcePaths) -> str:
    """Return the id of the published release; every file of it is as its manifest says."""
    folder = paths.current.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, file in manifest["files"].items():
        assert file_hash(folder / name) == file["sha256"], name
    with duckdb.connect(str(paths.published_file), read_only=True) as connection:
        (newest,) = connection.execute(
            "select release_id from releases order by published_at desc limit 1"
        ).fetchone()
    assert newest == manifest["release_id"] == folder.name
    return newest


def descendants(pid: int) -> list[int]:
    """Return the processes below one, dbt among them while models run."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in file.read_text().split()] if file.exists() else []
    return [*below, *(grandchild for child in below for grandchild in descendants(child))]
