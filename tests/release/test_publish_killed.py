"""`kill -9` at any step that changes something, and what the next run clears."""

import linecache
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from types import FrameType

import pytest
from support.damage import IDS, truncate
from support.releases import checksums, identity, query, read_whole, release

from dagster_project import files, warehouse
from dagster_project.gates import verdicts
from dagster_project.paths import SourcePaths
from dagster_project.release import candidate, check, links, manifest, publish, state, tables
from dagster_project.release import recover as recovery
from dagster_project.release.candidate import candidate_file
from dagster_project.release.publish import rollback
from dagster_project.release.recover import recover
from dagster_project.release.state import current_release, list_releases


def publish_once(paths: SourcePaths, marker: str) -> None:
    release(paths, marker, keep=2)


def switch_once(paths: SourcePaths, marker: str) -> None:
    """Roll back if the later release is current, else go forward again."""
    former = current_release(paths)
    target = next(r.release_id for r in list_releases(paths) if r != former)
    rollback(paths, target)


# What writes, from the release down to the files; what only judges or reads is not among it.
WRITERS = (
    candidate,
    check,
    files,
    links,
    manifest,
    publish,
    recovery,
    state,
    tables,
    verdicts,
    warehouse,
)
FILES = {module.__file__ for module in WRITERS}
# Statements, so the selects, whose result is assigned, are not among them. Nobody misses the folder
# that each connection makes for what it may spill.
CHANGES_SOMETHING = re.compile(
    r"^(?!\s*return )(?!.*spill)\s*(con\.execute|_patiently|sync|shutil\.rmtree|"
    r".*\.(rename|replace|unlink|symlink_to|mkdir|chmod|touch|write_text))\("
)


def act_and_die(action, paths: SourcePaths, marker: str, step: int) -> None:
    """Do it, but kill -9 this process before the n-th different step that changes something."""
    seen: set[tuple] = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename not in FILES:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and CHANGES_SOMETHING.match(line):
            # A helper called from two places is two steps.
            seen.add(tuple(callers(frame)))
            if len(seen) == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    action(paths, marker)
    sys.settrace(None)


def callers(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    """Give the lines of the writers that led to a frame."""
    while frame is not None:
        if frame.f_code.co_filename in FILES:
            yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


@pytest.mark.parametrize(("action", "least_steps"), [(publish_once, 40), (switch_once, 10)])
def test_killed_at_any_step_the_published_file_is_whole_and_the_next_run_works(
    paths, action, least_steps
):
    context = multiprocessing.get_context("forkserver")
    # Else each of the many processes would import this module, and pytest with it.
    context.set_forkserver_preload([__name__])
    release(paths, "a", keep=2)
    release(paths, "b", keep=2)
    has_switched = set()
    for step in range(1, 1_000):
        former, marker = read_whole(paths), f"m{step}"
        process = context.Process(target=act_and_die, args=(action, paths, marker, step))
        process.start()
        process.join()
        found = read_whole(paths)
        assert found in ({former, marker} if action is publish_once else {"a", "b"})
        if process.exitcode == 0:
            break
        # Not 1: this run got as far as it should over what the one before had left.
        assert process.exitcode == -signal.SIGKILL
        has_switched.add(found != former)
        recover(paths, print)
        assert read_whole(paths) == found
        current = paths.current.readlink().name
        switches = query(paths.state, "select release_id from switches order by rowid")
        assert switches[-1] == (current,)
        assert all(one != other for one, other in pairwise(switches))
        known = {r.release_id for r in list_releases(paths) if r.is_kept}
        assert current in known
        assert {path.name for path in paths.releases.iterdir()} == known
        assert not [path for path in paths.published.iterdir() if path.name.startswith(".")]
    assert has_switched == {True, False}
    assert found != former
    assert step > least_steps


def recover_once(paths: SourcePaths, _: str) -> None:
    recover(paths, print)


def test_killed_while_it_mends_the_next_run_mends_the_rest(published_history, tmp_path):
    """The current release is truncated and the state is lost, at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    for step in range(1, 1_000):
        data_dir = shutil.copytree(published_history, tmp_path / f"{step}", symlinks=True)
        paths = SourcePaths(data_dir, "shop")
        truncate(paths.releases / IDS["e"])
        paths.state.write_bytes(b"text")
        process = context.Process(target=act_and_die, args=(recover_once, paths, "", step))
        process.start()
        process.join()
        # The damaged one or the one in its place, never none.
        assert paths.published_file.resolve().is_file()
        recover(paths, print)
        assert read_whole(paths) == "c"
        releases = {release.release_id: release for release in list_releases(paths)}
        # The copy of the state is of before e, which can no longer tell of itself.
        assert len(releases) == 5
        assert all(found.is_kept for found in releases.values())
        assert {one for one, found in releases.items() if found.is_rolled_back} == {IDS["d"]}
        assert {path.name for path in paths.damaged.iterdir()} == {IDS["e"]}
        assert not [path for path in paths.state.parent.iterdir() if path.name.startswith(".")]
        shutil.rmtree(data_dir)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert step > 10


def test_killed_first_publication(paths):
    """Between the two links and the state of the very first release."""
    first = release(paths, "a")
    paths.state.unlink()
    paths.published_file.unlink()
    recover(paths, print)
    assert read_whole(paths) == "a"
    assert current_release(paths).release_id == first.release_id


def test_recover_clears_what_was_left(paths):
    release(paths, "a")
    before = checksums(paths.published)
    (paths.published / ".tmp-current").symlink_to("releases/gone")
    (paths.releases / ".tmp-2024-01-01-abc").mkdir()
    (paths.releases / ".tmp-2024-01-01-abc" / "winback.duckdb").write_text("half")
    paths.candidate.mkdir()
    candidate_file(paths).write_text("half")
    recover(paths, print)
    assert checksums(paths.published) == before
    assert not paths.candidate.exists()
    assert [path.name for path in paths.releases.iterdir()] == [identity("a").release_id]


def test_recover_before_anything_was_published(paths):
    recover(paths, print)
    assert not paths.data_dir.joinpath("published").exists()
