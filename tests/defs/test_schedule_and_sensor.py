"""What starts a run by itself: the schedule and the sensor; see also `test_taken_up_again`."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from support.looks import NOW, Daemon, end_source, load, publish_loaded
from support.shop import FIRST_DAY, LAST_DAY, LIVE_YML, SHOP_YML, make_shop, sales, write_csv

from dagster_project.config.source import load_source
from dagster_project.defs.jobs import RANGE_END, RANGE_START
from dagster_project.defs.schedules import morning_schedule
from dagster_project.defs.sensors import landing_sensor
from dagster_project.paths import SourcePaths


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return make_shop(tmp_path / "data")


def look(paths: SourcePaths, cursor: str | None) -> tuple[dg.RunRequest | str, str]:
    """Return what one look of the sensor gives (a request or why not) and its new cursor."""
    sensor = landing_sensor(load_source(paths), paths)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        found = sensor.evaluate_tick(context)
    requests = found.run_requests
    return (requests[0] if requests else found.skip_message), found.cursor


def span(request: dg.RunRequest) -> tuple[str, str]:
    tags = request.tags
    return tags[RANGE_START], tags[RANGE_END]


def test_the_schedule_is_off_at_six_in_the_sources_zone(paths: SourcePaths) -> None:
    schedule = morning_schedule(load_source(paths), paths)
    assert schedule.cron_schedule == "0 6 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_the_schedules_zone_is_a_setting(tmp_path: Path) -> None:
    paths = make_shop(tmp_path / "data", config=f"{SHOP_YML}schedule_time_zone: Asia/Shanghai\n")
    assert morning_schedule(load_source(paths), paths).execution_timezone == "Asia/Shanghai"


def test_the_schedule_asks_for_one_run_over_the_days_to_load(paths: SourcePaths) -> None:
    schedule = morning_schedule(load_source(paths), paths)
    moment = datetime(2024, 5, 2, 4, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=moment) as context:
        (request,) = schedule.evaluate_tick(context).run_requests
    assert span(request) == (str(FIRST_DAY), str(LAST_DAY))
    # Once a morning, whatever the daemon does.
    assert request.run_key == "2024-05-02"


def test_the_sensor_is_off(paths: SourcePaths) -> None:
    sensor = landing_sensor(load_source(paths), paths)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_the_sensor_waits_for_files_to_keep_still_then_asks(paths: SourcePaths) -> None:
    first, cursor = look(paths, None)
    assert "keep still" in first

    # Still being written: another size.
    month = paths.landing / "sales-2024-02.csv"
    month.write_text(month.read_text() + "99999,C001,2024-02-29 10:00,5.00,A\n")
    second, cursor = look(paths, cursor)
    assert "keep still" in second

    request, cursor = look(paths, cursor)
    assert span(request) == (str(FIRST_DAY), str(LAST_DAY))


def test_one_request_spans_all_days_that_changed_files_touch(paths: SourcePaths) -> None:
    load(paths)
    march = [row for row in sales() if row["time"].startswith("2024-03")]
    write_csv(paths.landing / "sales-2024-03.csv", [{**row, "amount": "1.00"} for row in march])
    write_csv(
        paths.landing / "sales-late.csv",
        [{**march[0], "order": "X1", "time": f"2024-02-{day} 09:00"} for day in (20, 25)],
    )
    _, cursor = look(paths, None)
    request, _ = look(paths, cursor)
    assert span(request) == ("2024-02-20", str(LAST_DAY))


def test_a_day_that_moves_to_another_is_loaded_on_both(paths: SourcePaths) -> None:
    load(paths)
    march = [row for row in sales() if row["time"].startswith("2024-03")]
    first = date.fromisoformat(march[0]["time"][:10])
    later = [{**row, "time": f"{LAST_DAY} 08:00"} for row in march]
    write_csv(paths.landing / "sales-2024-03.csv", later)
    _, cursor = look(paths, None)
    request, _ = look(paths, cursor)
    assert span(request) == (str(first), str(LAST_DAY))


def test_a_missing_file_is_said_not_raised(tmp_path: Path) -> None:
    config = SHOP_YML.replace('"sales-*.csv"', "sales.csv")
    paths = make_shop(tmp_path / "data", config=config)
    reason, _ = look(paths, None)
    assert "sales.csv" in reason


def test_a_warehouse_in_use_is_said_not_raised(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(paths)
    add = paths.landing / "sales-2024-04.csv"
    write_csv(add, [{**sales()[0], "order": "X1"}])
    _, cursor = look(paths, None)
    program = (
        "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    monkeypatch.setattr("dagster_project.warehouse.LOCK_PATIENCE_SECONDS", 0.5)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(paths.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        reason, kept = look(paths, cursor)
        writer.stdin.close()
    assert "is open for writing in " in reason
    # The change is not forgotten.
    request, _ = look(paths, kept or cursor)
    assert isinstance(request, dg.RunRequest)


def test_a_published_release_that_is_damaged_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the run that published it ended well, and nothing else has changed."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        paths = make_shop(tmp_path / "data", config=LIVE_YML)
        daemon = Daemon(paths, instance, monkeypatch)
        daemon.at(NOW)
        end_source(daemon)
        request = daemon.asked()
        load(paths)
        publish_loaded(paths)
        daemon.run(request)
        assert "Nothing to do" in daemon.not_asked()
        (paths.current / "parquet" / "customers.parquet").unlink()
        again = daemon.asked()
        assert again.run_key != request.run_key
        # This one changed nothing of it; for ever would be too often.
        well = daemon.run(again)
        assert daemon.not_asked().startswith(f"Run {well} ended well")
