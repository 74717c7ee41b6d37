"""`kill -9`, SIGTERM, Ctrl-C: readers keep a whole release, and the next plain run succeeds."""

import json
import os
import signal
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from support.shop import SHOP, add_sales, shop_paths, start_winback, winback

from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import source_lock

pytestmark = pytest.mark.timeout(900)
RUN = ("run", "--source", SHOP)
# Steps after whose start runs are killed, with a delay: they differ in what is open then.
# The second run is the next one after the first. WINBACK_KILL_POINTS=20 kills one run each at that
# many moments spread over a whole run instead.
Kill = tuple[str, float]
POINTS: list[list[Kill]] = [[("models", 3.5), ("release/current", 0.02)]]
# A run is interrupted so long after a step; WINBACK_SIGNAL_POINTS=8 interrupts one run each at that
# many moments spread over a whole run instead, by turns with SIGTERM and SIGINT.
SIGNALS = int(os.environ.get("WINBACK_SIGNAL_POINTS", "0"))
INTERRUPTIONS: list[Kill] = [("models", 2.0)]


def interruptions() -> list[Kill]:
    seconds = float(os.environ.get("WINBACK_KILL_SECONDS", "16"))
    spread = [("", seconds * number / SIGNALS) for number in range(1, SIGNALS + 1)]
    return spread or INTERRUPTIONS


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


@pytest.mark.parametrize(("place", "point"), enumerate(interruptions()))
def test_an_interrupted_run_ends_at_once_and_leaves_nothing_half_done(
    shop: Path, place: int, point: Kill
) -> None:
    (step, delay), number = point, (signal.SIGTERM, signal.SIGINT)[place % 2]
    paths = shop_paths(shop)
    former = whole_release(paths)
    add_sales(paths, 20)
    with start_winback("run", "--source", SHOP, data_dir=shop) as process:
        while step and process.stderr.readline().strip() != step:
            assert process.poll() is None
        time.sleep(delay)
        children = descendants(process.pid)
        sent = time.monotonic()
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
        assert time.monotonic() - sent < 5
    # At the very end there may have been nothing left to interrupt.
    assert process.returncode in (128 + number, 0) and (process.returncode or SIGNALS)
    assert "Traceback" not in messages
    if process.returncode:
        assert messages.splitlines()[-1] == "winback: interrupted; run again"
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() - sent < 5, "what the run started outlives it"
        time.sleep(0.05)
    left = whole_release(paths)
    with source_lock(paths, pytest.fail):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(paths.dagster_home))
        with dg.DagsterInstance.get() as instance:
            (last,) = instance.get_runs(limit=1)
    if SIGNALS:
        outcome = winback("run", "--source", SHOP, data_dir=shop)
        assert outcome.code == 0, outcome.messages
        assert left in (former, whole_release(paths)) and whole_release(paths) != former
    else:
        assert left == former
        assert last.status == dg.DagsterRunStatus.FAILURE


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
