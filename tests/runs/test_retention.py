"""Two hundred made-up mornings: what of them is deleted, what stays, and what a kill leaves."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import create_engine, text
from support.shop import SHOP, make_shop

from dagster_project.config.source import Settings
from dagster_project.defs import resources
from dagster_project.defs.resources import SourceRun
from dagster_project.errors import WinbackError
from dagster_project.gates.verdicts import GateResult, prune_verdicts, record_verdict
from dagster_project.paths import SourcePaths
from dagster_project.runs import retention
from dagster_project.runs.locking import living_run
from dagster_project.runs.retention import prune
from dagster_project.warehouse import connect

DEFAULTS = {"days": Settings().kept_days, "count": Settings().kept_runs}
ORDERS, CHECK = dg.AssetKey(["raw", "orders"]), "loads"
MORNINGS = 200
PLACES = ("records", "events", "logs")
SUCCESS = dg.DagsterRunStatus.SUCCESS
GOING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourcePaths:
    paths = SourcePaths(tmp_path, "shop")
    paths.dagster_home.mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(paths.dagster_home))
    (paths.dagster_home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "event_log_storage: {module: dagster_project.runs.event_log, class: EventLog}\n"
    )
    return paths


def run_id(number: int) -> str:
    return str(UUID(int=number + 1, version=4))


def make_run(
    paths: SourcePaths,
    instance: dg.DagsterInstance,
    number: int,
    status: dg.DagsterRunStatus = SUCCESS,
    day: str | None = None,
) -> str:
    """Make what a run leaves in Dagster: its record, events, a check and a log."""
    name = run_id(number)
    run = create_run_for_test(instance, run_id=name, job_name="daily", status=status)
    materialised = dg.AssetMaterialization(ORDERS, partition=day or f"day {number}")
    for kind, data in (
        ("ASSET_MATERIALIZATION", StepMaterializationData(materialised)),
        (
            "ASSET_CHECK_EVALUATION",
            dg.AssetCheckEvaluation(ORDERS, CHECK, passed=True, metadata={}),
        ),
    ):
        event = dg.DagsterEvent(kind, "daily", event_specific_data=data)
        instance.report_dagster_event(event, run.run_id)
    logs = paths.dagster_home / "storage" / name / "compute_logs"
    logs.mkdir(parents=True)
    (logs / "step.err").write_text("a line")
    return name


def make_older(paths: SourcePaths, days_ago: dict[str, int]) -> None:
    """Set the day on which each run was asked for."""
    history = create_engine(f"sqlite:///{paths.dagster_home}/history/runs.db")
    with history.begin() as connection:
        for name, days in days_ago.items():
            moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days, hours=1)
            connection.execute(
                text("update runs set create_timestamp = :at where run_id = :run"),
                {"at": moment.isoformat(sep=" "), "run": name},
            )
    history.dispose()


def make_blocked(paths: SourcePaths, name: str, days: int) -> None:
    folder = paths.blocked / name
    (folder / "data_docs").mkdir(parents=True)
    (folder / "verdict.json").write_text("[]")
    (folder / "data_docs" / "index.html").write_text("page")
    moment = time.time() - (days * 24 + 1) * 3600
    os.utime(folder, (moment, moment))


def left(paths: SourcePaths) -> dict[str, set[str]]:
    """Return the runs of which there is something in each place."""
    home = paths.dagster_home
    with dg.DagsterInstance.get() as instance:
        known = set(instance.get_run_ids())
    return {
        "records": known,
        "events": {file.stem for file in (home / "history" / "runs").glob("????????-*.db")},
        "logs": {entry.name for entry in (home / "storage").iterdir() if "-" in entry.name},
    }


def index_rows(paths: SourcePaths, table: str) -> list[str]:
    engine = create_engine(f"sqlite:///{paths.dagster_home}/history/runs/index.db")
    with engine.connect() as connection:
        found = connection.execute(text(f"select run_id from {table} order by id")).scalars().all()
    engine.dispose()
    return list(found)


def of_run(value: object, number: int) -> object:
    """Return a value of the first run's rows as another run has it."""
    if not isinstance(value, str):
        return value
    return value.replace(run_id(0), run_id(number)).replace("day 0", f"day {number}")


def copy_run(paths: SourcePaths, count: int) -> None:
    """Copy the first run as often; Dagster itself takes a fifth of a second for each."""
    home, first = paths.dagster_home, run_id(0)
    for file, tables in (
        ("runs.db", ("runs",)),
        ("runs/index.db", ("event_logs", "asset_check_executions")),
    ):
        with closing(sqlite3.connect(home / "history" / file)) as connection, connection:
            for table in tables:
                about = connection.execute(f"pragma table_info({table})").fetchall()
                columns = ", ".join(name for _, name, *_ in about if name != "id")
                found = connection.execute(f"select {columns} from {table}").fetchall()
                connection.executemany(
                    f"insert into {table} ({columns}) values ({', '.join('?' * len(found[0]))})",
                    [[of_run(value, n) for value in row] for n in range(1, count) for row in found],
                )
    for number in range(1, count):
        shutil.copy(
            home / "history" / "runs" / f"{first}.db",
            home / "history" / "runs" / f"{run_id(number)}.db",
        )
        shutil.copytree(home / "storage" / first, home / "storage" / run_id(number))


def mornings(paths: SourcePaths, instance: dg.DagsterInstance, count: int = MORNINGS) -> list[str]:
    """Make a run a day, the last one today, every third one of them blocked."""
    make_run(paths, instance, 0)
    copy_run(paths, count)
    names = [run_id(number) for number in range(count)]
    for number in range(0, count, 3):
        make_blocked(paths, names[number], count - 1 - number)
    make_older(paths, {name: count - 1 - number for number, name in enumerate(names)})
    return names


def test_of_two_hundred_mornings_ninety_days_stay(paths: SourcePaths) -> None:
    with dg.DagsterInstance.get() as instance:
        names = mornings(paths, instance)
        assert prune(paths, instance, **DEFAULTS) == 110
        assert left(paths) == {place: set(names[110:]) for place in PLACES}
        # A third of them was blocked: days 111, 114, ... 198.
        assert {entry.name for entry in paths.blocked.iterdir()} == set(names[111::3])
        # Every day still counts as loaded; of the check one execution a run is left.
        days = {f"day {number}" for number in range(MORNINGS)}
        assert instance.get_materialized_partitions(ORDERS) == days
        assert index_rows(paths, "asset_check_executions") == names[110:]
        assert prune(paths, instance, **DEFAULTS) == 0


def test_the_last_twenty_stay_however_old_they_are(paths: SourcePaths) -> None:
    with dg.DagsterInstance.get() as instance:
        names = mornings(paths, instance, 60)
        make_older(paths, dict.fromkeys(names, 1000))
        for entry in list(paths.blocked.iterdir()):
            os.utime(entry, (1, 1))
        assert prune(paths, instance, **DEFAULTS) == 40
        assert left(paths)["records"] == set(names[40:])
        assert len(list(paths.blocked.iterdir())) == 20


def test_a_run_that_has_not_finished_stays(paths: SourcePaths) -> None:
    with dg.DagsterInstance.get() as instance:
        names = [make_run(paths, instance, n, s) for n, s in enumerate([*GOING, SUCCESS])]
        make_older(paths, dict.fromkeys(names, 1000))
        newer = make_run(paths, instance, 3)
        assert prune(paths, instance, days=1, count=1) == 1
        assert left(paths)["records"] == {names[0], names[1], newer}


def test_a_day_loaded_again_leaves_one_event_and_no_check_but_the_last(paths: SourcePaths) -> None:
    with dg.DagsterInstance.get() as instance:
        names = [make_run(paths, instance, number, day="2024-05-01") for number in range(6)]
        make_older(paths, {name: 100 - number for number, name in enumerate(names)})
        prune(paths, instance, days=90, count=4)
        make_older(paths, dict.fromkeys(names, 100))
        assert prune(paths, instance, days=90, count=1) == 3
        assert instance.get_materialized_partitions(ORDERS) == {"2024-05-01"}
        assert set(index_rows(paths, "event_logs")) == {names[-1]}
        assert index_rows(paths, "asset_check_executions") == [names[-1]]


@pytest.mark.parametrize("dies_in", ["record", "index", "logs"])
def test_what_a_kill_leaves_is_deleted_next_time(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with dg.DagsterInstance.get() as instance:
        names = [make_run(paths, instance, number) for number in range(3)]
        make_older(paths, dict.fromkeys(names, 1000))
        owner, step = {
            "record": (instance.event_log_storage, "delete_events"),
            "index": (instance.event_log_storage, "free_concurrency_slots_for_run"),
            "logs": (instance.compute_log_manager, "delete_logs"),
        }[dies_in]
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, die)
            with pytest.raises(Killed):
                prune(paths, instance, days=90, count=1)
        assert prune(paths, instance, days=90, count=1) == 2
        assert left(paths) == {place: {names[2]} for place in PLACES}


def test_marks_of_dead_runs_go_and_those_of_living_ones_stay(paths: SourcePaths) -> None:
    with dg.DagsterInstance.get() as instance, living_run(paths, "living"):
        for name in ("dead", "starting"):
            (paths.alive / name).touch()
        for name in ("dead", "living"):
            os.utime(paths.alive / name, (1, 1))
        prune(paths, instance, **DEFAULTS)
        assert {mark.name for mark in paths.alive.iterdir()} == {"living", "starting"}


def test_old_verdicts_leave_the_warehouse_but_not_those_of_the_last_runs(
    paths: SourcePaths,
) -> None:
    paths.warehouse_dir.mkdir(parents=True)
    passed = GateResult("loads", "an_expectation", "critical", True, None, None, 1, 0)
    for number in range(8):
        record_verdict(
            paths,
            gate="raw",
            subject=f"data {number}",
            input_fingerprint="",
            results=[passed, passed],
            run_id=str(number),
        )
    prune_verdicts(paths, datetime.now(UTC) - timedelta(days=1), 1)
    with connect(paths, read_only=True) as con:
        assert con.execute("select count(*) from audit.verdicts").fetchone() == (8,)
    prune_verdicts(paths, datetime.now(UTC) + timedelta(days=1), 3)
    with connect(paths, read_only=True) as con:
        for table, each in (("verdicts", 1), ("gate_results", 2)):
            found = con.execute(f"select run_id from audit.{table} order by rowid").fetchall()
            assert found == [(run,) for run in "567" for _ in range(each)]


@pytest.mark.parametrize(("deleted", "is_smaller"), [(90, True), (10, False)])
def test_a_file_that_is_mostly_empty_is_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: int, is_smaller: bool
) -> None:
    monkeypatch.setattr(retention, "WORTH_SHRINKING", 0)
    file = tmp_path / "index.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table events (event text)")
        connection.executemany("insert into events values (?)", [("x" * 4000,)] * 100)
        connection.execute("delete from events where rowid <= ?", [deleted])
    full = file.stat().st_size
    retention._shrink(file)
    assert (file.stat().st_size < full / 2) == is_smaller


def run_of_an_asset(paths: SourcePaths) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    """Run an asset that does nothing with the source's resource; return what was told as well."""

    @dg.asset
    def orders(source_run: dg.ResourceParam[object]) -> None:
        pass

    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [orders],
            instance=instance,
            resources={"source_run": SourceRun(source_name=SHOP, data_dir=str(paths.data_dir))},
            raise_on_error=False,
        )
        return result, [entry.user_message for entry in instance.all_logs(result.run_id)]


def test_a_deletion_that_fails_is_no_reason_for_a_run_to_fail(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resources, "prune", fail)
    make_shop(paths.data_dir)

    result, told = run_of_an_asset(paths)
    assert result.success
    (line,) = [one for one in told if one.startswith("What old runs left could not be deleted")]
    assert "The disk is full" in line


def test_a_warehouse_that_another_program_holds_is_told_of_once(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise WinbackError("warehouse.duckdb is open in a shell")

    make_shop(paths.data_dir)
    for name in ("connect", "prune"):
        monkeypatch.setattr(resources, name, fail)

    result, told = run_of_an_asset(paths)
    assert not result.success
    assert not [one for one in told if one.startswith("What old runs left")]
    failures = [event for event in result.all_events if event.is_failure]
    assert any("warehouse.duckdb is open in a shell" in repr(one) for one in failures)
