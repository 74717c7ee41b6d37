"""The lock of a source, what killed runs leave, and dbt that ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from dagster_project.models.dbt_project import DBT_EXECUTABLE
from dagster_project.paths import SourcePaths
from dagster_project.runs import locking
from dagster_project.runs.locking import fail_dead_runs, living_run, source_lock

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
        monkeypatch.setattr(locking, "START_UP_SECONDS", -1)
        assert fail_dead_runs(paths, instance) == [waiting.run_id]
    assert list(paths.alive.iterdir()) == []


def test_dbt_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    # A parent that starts dbt (with a model that never ends would need a project: dbt's own
    # start-up takes long enough) and tells its id.
    program = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.argv[1], 'debug', '--project-dir', sys.argv[2]], "
        "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(DBT_EXECUTABLE), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.7)
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "dbt goes on without its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
