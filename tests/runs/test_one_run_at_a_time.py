"""The lock of a source, and what killed runs leave."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from dagster_project.paths import SourcePaths
from dagster_project.runs import bookkeeping, locking
from dagster_project.runs.bookkeeping import fail_dead_runs
from dagster_project.runs.locking import living_run, source_lock

HOLD = """
import sys, time
from pathlib import Path
from dagster_project.runs.locking import living_run, source_lock
from dagster_project.paths import SourcePaths
paths = SourcePaths(Path(sys.argv[1]), "shop")
with living_run(paths, sys.argv[2]), source_lock(paths, lambda text: print(text, flush=True)):
    print("working", flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


def hold(paths: SourcePaths, run_id: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(paths.data_dir), run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_second_run_waits_says_so_and_then_works(paths: SourcePaths) -> None:
    first = hold(paths, "first")
    try:
        assert first.stdout.readline() == "working\n"
        second = hold(paths, "second")
        try:
            assert "Another run of shop is working" in second.stdout.readline()
            first.communicate("\n", timeout=20)
            assert second.stdout.readline() == "working\n"
            assert second.communicate("\n", timeout=20)[0] == "done\n"
        finally:
            end(second)
    finally:
        end(first)


def test_a_killed_run_gives_the_lock_back_at_once(paths: SourcePaths) -> None:
    first = hold(paths)
    assert first.stdout.readline() == "working\n"
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    said: list[str] = []
    started = time.monotonic()
    with source_lock(paths, said.append):
        assert time.monotonic() - started < locking.POLL_SECONDS
    assert said == []


def test_a_run_within_the_process_that_holds_the_lock_goes_on(paths: SourcePaths) -> None:
    with source_lock(paths, pytest.fail), source_lock(paths, pytest.fail):
        pass
    process = hold(paths)
    try:
        assert process.stdout.readline() == "working\n"
    finally:
        end(process)


def test_other_sources_do_not_wait(paths: SourcePaths) -> None:
    process = hold(paths)
    try:
        assert process.stdout.readline() == "working\n"
        with source_lock(SourcePaths(paths.data_dir, "other"), pytest.fail):
            pass
    finally:
        end(process)


def test_dead_runs_are_marked_failed_and_living_ones_left_alone(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = dg.DagsterRunStatus.STARTED
    with dg.DagsterInstance.ephemeral() as instance:
        dead, waiting, ended = (
            create_run_for_test(instance, status=status)
            for status in (started, started, dg.DagsterRunStatus.SUCCESS)
        )
        killed = hold(paths, dead.run_id)
        assert killed.stdout.readline() == "working\n"
        end(killed)
        with living_run(paths, waiting.run_id):
            assert fail_dead_runs(paths, instance) == [dead.run_id]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses == {
            dead.run_id: dg.DagsterRunStatus.FAILURE,
            waiting.run_id: started,
            ended.run_id: dg.DagsterRunStatus.SUCCESS,
        }
        # The waiting one has ended without a word and left no mark; start-up time is over.
        monkeypatch.setattr(bookkeeping, "START_UP", timedelta(seconds=-1))
        assert fail_dead_runs(paths, instance) == [waiting.run_id]
    assert list(paths.alive.iterdir()) == []
