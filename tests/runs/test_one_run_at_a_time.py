"""The lock of a source, and what killed runs leave."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from dagster_project.paths import SourcePaths
from dagster_project.runs import bookkeeping, locking
from dagster_project.runs.bookkeeping import fail_dead_runs, mark_dead_runs
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


def test_a_run_that_has_ended_and_is_not_recorded_yet_is_not_dead(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        with living_run(paths, run.run_id):
            pass
        # Dagster stores the end of a run after the last of its work, here of a long one.
        records = long_ago(instance.get_run_records())
        monkeypatch.setattr(instance, "get_run_records", lambda _: records)
        assert fail_dead_runs(paths, instance) == []
        os.utime(paths.alive / run.run_id, (1, 1))
        assert fail_dead_runs(paths, instance) == [run.run_id]


def long_ago(records: Sequence[dg.RunRecord]) -> list[dg.RunRecord]:
    return [record._replace(start_time=1.0) for record in records]


def test_what_never_began_or_was_being_terminated_is_cleared_too(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = dg.DagsterRunStatus
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {
            before: create_run_for_test(instance, status=before).run_id
            for before in (status.NOT_STARTED, status.STARTING, status.CANCELING)
        }
        # They may be about to begin.
        assert fail_dead_runs(paths, instance) == []
        monkeypatch.setattr(bookkeeping, "START_UP", timedelta(seconds=-1))
        fail_dead_runs(paths, instance)
        after = {before: instance.get_run_by_id(run_id).status for before, run_id in runs.items()}
    assert after == {
        status.NOT_STARTED: status.FAILURE,
        status.STARTING: status.FAILURE,
        # A person wanted it to end: not asked for again.
        status.CANCELING: status.CANCELED,
    }


def test_a_starting_daemon_marks_what_a_reboot_ended(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.dagster_home.mkdir(parents=True)
    (paths.dagster_home / "dagster.yaml").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(paths.dagster_home))
    with dg.DagsterInstance.get() as instance:
        dead = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED).run_id
    paths.alive.mkdir(parents=True)
    (paths.alive / dead).touch()
    said: list[str] = []
    mark_dead_runs(paths, said.append)
    mark_dead_runs(paths, said.append)
    assert said == [f"Run {dead} had died; it is marked as failed."]
