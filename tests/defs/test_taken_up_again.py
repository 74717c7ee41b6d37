"""Work that was not done is asked for again: what the sensor's looks give after each event."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from support.looks import (
    BROKEN,
    GOOD,
    NOW,
    Daemon,
    deliver,
    end_source,
    event_of,
    load,
    minutes,
    publish_loaded,
)
from support.shop import LAST_DAY, LIVE_YML, copy_data, make_shop, shop_paths

from dagster_project.config.source import load_source
from dagster_project.defs import sensors
from dagster_project.defs.assets import common
from dagster_project.defs.resources import SourceRun
from dagster_project.defs.schedules import morning_schedule
from dagster_project.errors import ConfigurationError
from dagster_project.release.identity import code_version
from dagster_project.release.publish import rollback
from dagster_project.runs.attempts import ATTEMPT, CONTENT


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("book"))) as instance:
        yield instance


@pytest.fixture
def instance(book: dg.DagsterInstance) -> dg.DagsterInstance:
    """Return an instance without runs; it takes seconds to make one."""
    for run_id in book.get_run_ids():
        book.delete_run(run_id)
    return book


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a shop loaded and published as of the day before the last one; copy it."""
    paths = make_shop(tmp_path_factory.mktemp("published") / "data", config=LIVE_YML)
    load(paths)
    return paths.data_dir, publish_loaded(paths, LAST_DAY - timedelta(days=1))


@pytest.fixture
def daemon(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """Return the daemon of a shop of which nothing is loaded yet."""
    daemon = Daemon(make_shop(tmp_path / "data", config=LIVE_YML), instance, monkeypatch)
    daemon.at(NOW)
    return daemon


@pytest.fixture
def later(
    tmp_path: Path,
    published: tuple[Path, str],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Daemon:
    """Return the daemon of the published shop."""
    data_dir, release_id = published
    paths = shop_paths(copy_data(data_dir, tmp_path / "data"))
    daemon = Daemon(paths, instance, monkeypatch, release_id=release_id)
    daemon.at(NOW)
    return daemon


def test_what_is_published_is_not_asked_for_and_loaded_is_not_published(daemon: Daemon) -> None:
    assert daemon.asked().run_key.endswith("-1")
    load(daemon.paths)
    # Loaded, but the run was killed before it published.
    assert daemon.asked().run_key.endswith("-1")
    release_id = publish_loaded(daemon.paths)
    assert daemon.not_asked() == f"Nothing to do: the files are those of {release_id}."
    # A time alone is no change.
    os.utime(daemon.paths.landing / "sales-2024-01.csv", (1_700_000_000, 1_700_000_000))
    assert "keep still" in daemon.look()
    assert daemon.look() == f"Nothing to do: the files are those of {release_id}."


def test_a_release_that_was_rolled_back_from_is_not_asked_for(later: Daemon) -> None:
    deliver(later.paths, GOOD)
    load(later.paths)
    second = publish_loaded(later.paths)
    rollback(later.paths)
    assert later.not_asked() == (
        f"Nothing to do: the files are those of {second}, which was rolled back from."
    )
    deliver(later.paths, GOOD, "sales-later.csv")
    assert isinstance(later.asked(), dg.RunRequest)


def test_a_request_that_never_became_a_run_is_made_again(daemon: Daemon) -> None:
    first = daemon.asked()
    # The daemon was killed before it launched the run: the same key, which is still free.
    assert daemon.asked().run_key == first.run_key


def test_a_run_that_works_is_waited_for(daemon: Daemon) -> None:
    working = daemon.status(daemon.asked(), dg.DagsterRunStatus.STARTED)
    assert daemon.not_asked() == f"Run {working} is working; the next look is after it."
    assert daemon.instance.get_run_by_id(working).status == dg.DagsterRunStatus.STARTED


def test_a_killed_run_is_found_dead_by_the_look_and_asked_for_after_a_while(
    daemon: Daemon,
) -> None:
    end_source(daemon)
    first = daemon.asked()
    killed = daemon.status(first, dg.DagsterRunStatus.STARTED)
    daemon.paths.alive.mkdir(parents=True, exist_ok=True)
    (daemon.paths.alive / killed).touch()
    daemon.at(minutes(0))
    said = daemon.not_asked()
    assert said.startswith(f"Run {killed} failed or was killed (attempt 1). It is asked for again")
    assert "or at once when files, configuration or program change" in said
    assert daemon.instance.get_run_by_id(killed).status == dg.DagsterRunStatus.FAILURE
    daemon.at(minutes(5))
    again = daemon.asked()
    assert again.run_key == first.run_key.replace("-1", "-2")
    assert again.tags[ATTEMPT] == "2"
    assert again.tags[CONTENT] == first.tags[CONTENT]


def test_failed_runs_are_asked_for_after_5_15_60_minutes_then_hourly(daemon: Daemon) -> None:
    end_source(daemon)
    keys = [daemon.asked().run_key]
    daemon.run(daemon.asked(), error=OSError("the disk is full"))
    for number, wait in enumerate((5, 15, 60, 60, 60), 2):
        daemon.at(minutes(wait - 1))
        assert f"(attempt {number - 1})" in daemon.not_asked()
        daemon.at(minutes(wait))
        request = daemon.asked()
        assert request.tags[ATTEMPT] == str(number)
        keys.append(request.run_key)
        daemon.status(request, dg.DagsterRunStatus.FAILURE)
    assert [key[-1] for key in keys] == list("123456")
    # Another file does not wait for the hour.
    deliver(daemon.paths, GOOD)
    other = daemon.asked()
    assert other.tags[ATTEMPT] == "1"
    assert other.run_key[:16] not in {key[:16] for key in keys}


def test_a_run_that_died_long_ago_is_asked_for_at_once_after_a_reboot(daemon: Daemon) -> None:
    end_source(daemon)
    request = daemon.asked()
    run = create_run_for_test(daemon.instance, job_name="daily", tags=dict(request.tags))
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    for kind in (dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_FAILURE):
        moment = long_ago if kind == dg.DagsterEventType.RUN_START else datetime.now(UTC)
        daemon.instance.handle_new_event(event_of(run, kind, moment))
    daemon.at(minutes(0))
    assert daemon.asked().tags[ATTEMPT] == "2"


def test_a_block_is_asked_for_again_when_the_file_is_put_back_with_its_old_time(
    later: Daemon,
) -> None:
    end_source(later)
    file = deliver(later.paths, GOOD)
    kept = file.with_name("kept")
    shutil.copy2(file, kept)
    first = later.asked()
    load(later.paths)
    release_id = publish_loaded(later.paths)
    later.run(first)
    assert release_id in later.not_asked()

    deliver(later.paths, BROKEN)
    request = later.asked()
    load(later.paths)
    blocked = later.run(request, is_blocked=True)
    for wait in (0, 5, 60, 600):
        later.at(minutes(wait))
        assert later.not_asked().startswith(f"Run {blocked} was blocked by a gate, with these")

    # Byte for byte and to the nanosecond what was published before; raw has the broken one.
    shutil.copy2(kept, file)
    again = later.asked()
    # Of the same content as the first run, but a key that was never launched.
    assert again.tags[CONTENT] == first.tags[CONTENT]
    assert again.run_key == f"{first.tags[CONTENT]}-2"
    load(later.paths)
    publish_loaded(later.paths)
    later.run(again)
    assert "Nothing to do" in later.not_asked()


def test_other_bytes_of_the_same_size_and_time_are_seen(later: Daemon) -> None:
    end_source(later)
    file = deliver(later.paths, "12.00")
    load(later.paths)
    publish_loaded(later.paths)
    assert "Nothing to do" in later.not_asked()
    before = file.stat()
    file.write_bytes(file.read_bytes().replace(b"12.00", b"21.00"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert isinstance(later.asked(), dg.RunRequest)


def test_a_block_is_asked_for_again_when_a_limit_or_the_program_changes(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_source(daemon)
    blocked = daemon.run(daemon.asked(), is_blocked=True)
    assert blocked in daemon.not_asked()
    config = daemon.paths.data_dir / "sources" / "shop.yml"
    config.write_text(f"{config.read_text()}limits: {{maximum_rejected_share: 0.5}}\n")
    blocked = daemon.run(daemon.asked(), is_blocked=True)
    assert blocked in daemon.not_asked()
    newer = code_version()
    monkeypatch.setattr(sensors, "code_version", lambda: type(newer)("0.1", "other", newer.models))
    assert daemon.asked().tags[ATTEMPT] == "1"


def test_a_fault_of_the_configuration_and_a_persons_terminate_are_not_tried_again(
    daemon: Daemon,
) -> None:
    end_source(daemon)
    request = daemon.asked()
    faulty = daemon.run(request, error=ConfigurationError("shop.yml, line 3: no such column"))
    daemon.at(minutes(600))
    assert daemon.not_asked().startswith(
        f"Run {faulty} failed on a fault in the configuration, with these very files"
    )
    deliver(daemon.paths, GOOD)
    ended = daemon.status(daemon.asked(), dg.DagsterRunStatus.CANCELED)
    assert daemon.not_asked().startswith(f"Run {ended} was terminated by a person, with these")
    deliver(daemon.paths, GOOD, "sales-later.csv")
    assert isinstance(daemon.asked(), dg.RunRequest)


def test_a_run_that_ends_well_without_a_current_release_is_not_asked_for_for_ever(
    daemon: Daemon,
) -> None:
    end_source(daemon)
    well = daemon.run(daemon.asked())
    daemon.at(minutes(600))
    assert daemon.not_asked().startswith(
        f"Run {well} ended well without making a release of them current, with these very files"
    )


def test_runs_of_other_assets_say_nothing_of_what_is_owed(daemon: Daemon) -> None:
    end_source(daemon)
    blocked = daemon.run(daemon.asked(), is_blocked=True)
    check = dg.AssetCheckKey(common.TRANSACTIONS, "raw_gate_loads")
    for assets, checks in (({common.TRANSACTIONS}, None), (set(), {check})):
        create_run_for_test(
            daemon.instance,
            status=dg.DagsterRunStatus.SUCCESS,
            asset_selection=frozenset(assets),
            asset_check_selection=frozenset(checks) if checks else None,
        )
    assert blocked in daemon.not_asked()


def test_a_run_of_any_origin_carries_what_it_started_from(daemon: Daemon) -> None:
    @dg.asset(key=common.CURRENT)
    def step(source_run: common.GivenRun) -> None:
        pass

    folder = str(daemon.paths.data_dir)
    resource = SourceRun(source_name="shop", data_dir=folder, as_of=str(LAST_DAY))
    asked = daemon.asked().tags[CONTENT]
    for tags in ({}, {CONTENT: "of a request before the files changed"}):
        result = dg.materialize(
            [step], instance=daemon.instance, resources={"source_run": resource}, tags=tags
        )
        assert daemon.instance.get_run_by_id(result.run_id).tags[CONTENT] == asked


def test_a_failed_morning_without_a_new_file_is_taken_up(later: Daemon) -> None:
    """The schedule's run of a live source was killed; its files are those of yesterday's."""
    yesterday = later.release_id
    # That no run of today was asked for is no matter of the sensor's.
    assert yesterday in later.not_asked()
    run_config = {"resources": {"source_run": {"config": {"as_of": str(LAST_DAY)}}}}

    def fail(as_of: date) -> None:
        run_config["resources"]["source_run"]["config"]["as_of"] = str(as_of)
        create_run_for_test(
            later.instance,
            job_name="daily",
            run_config=run_config,
            status=dg.DagsterRunStatus.FAILURE,
        )

    # As of a past day: a person's question.
    fail(LAST_DAY - timedelta(days=9))
    assert yesterday in later.not_asked()
    fail(LAST_DAY)
    # Runs end by the machine's clock, long after that of this test.
    assert "attempt 1" in later.not_asked()
    publish_loaded(later.paths)
    assert "Nothing to do" in later.not_asked()


def test_a_morning_that_could_not_ask_for_its_run_is_taken_up(later: Daemon) -> None:
    yesterday = later.release_id
    state = morning_state(InstigatorStatus.RUNNING)
    later.instance.add_instigator_state(state)
    six = datetime(2024, 4, 1, 4, tzinfo=UTC)

    def tick(status: TickStatus, moment: datetime) -> None:
        data = TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.name,
            instigator_type=InstigatorType.SCHEDULE,
            status=status,
            timestamp=moment.timestamp(),
            selector_id=state.selector_id,
            run_ids=[],
        )
        later.instance.create_tick(data)

    tick(TickStatus.SUCCESS, six - timedelta(days=1))
    assert yesterday in later.not_asked()
    # Dagster's daemon is about to ask.
    tick(TickStatus.STARTED, six)
    assert yesterday in later.not_asked()
    tick(TickStatus.SKIPPED, six + timedelta(seconds=1))
    request = later.asked()
    assert request.run_config["resources"]["source_run"]["config"] == {"as_of": "2024-03-31"}
    later.instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
    assert yesterday in later.not_asked()


def morning_state(status: InstigatorStatus) -> InstigatorState:
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    place = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="dagster_project"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), "morning_run")
    data = ScheduleInstigatorData("0 6 * * *")
    return InstigatorState(origin, InstigatorType.SCHEDULE, status, data)


def test_a_typo_is_one_line_on_the_ticks_page_and_mended_it_is_taken_up(daemon: Daemon) -> None:
    end_source(daemon)
    source = load_source(daemon.paths)
    sensor = sensors.landing_sensor(source, daemon.paths)
    schedule = morning_schedule(source, daemon.paths)
    assert isinstance(daemon.asked(), dg.RunRequest)
    config = daemon.paths.data_dir / "sources" / "shop.yml"
    good = config.read_text()
    config.write_text(good.replace("currency:", "currncy:"))
    with dg.build_schedule_context(scheduled_execution_time=NOW) as context:
        of_schedule = schedule.evaluate_tick(context).skip_message
    for said in (daemon.tick(sensor), of_schedule):
        lines = said.splitlines()
        assert all("shop.yml, " in line for line in lines), said
        assert "currncy" in lines[-1] + lines[0] and "Traceback" not in said
    config.write_text(good)
    assert isinstance(daemon.tick(sensor), dg.RunRequest)


def test_before_the_first_file_nothing_is_asked_for(daemon: Daemon) -> None:
    for file in daemon.paths.landing.glob("sales-*"):
        file.unlink()
    assert daemon.not_asked() == "No file has come yet that matches sales-*.csv."
    deliver(daemon.paths, GOOD)
    assert isinstance(daemon.asked(), dg.RunRequest)
