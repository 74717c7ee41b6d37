"""The sensor's looks at a shop, by a clock that the test sets, and what happens between them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from support.releases import TABLES, judge
from support.shop import LAST_DAY, sales, write_csv

from dagster_project.config.canonical import TABLES as RAW_TABLES
from dagster_project.config.source import load_source
from dagster_project.defs import sensors
from dagster_project.defs.assets import common
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import build_candidate
from dagster_project.release.identity import all_inputs, code_version, release_identity
from dagster_project.release.publish import publish
from dagster_project.runs.attempts import RUN_KEY
from dagster_project.warehouse import connect

# In Berlin the 1st of April: the last complete day is the 31st of March.
NOW = datetime(2024, 4, 1, 8, tzinfo=UTC)
GOOD, BROKEN = "12.00", "twelve"


@dataclass
class Daemon:
    """The sensor's looks, one after the other, by a clock that the test sets."""

    paths: SourcePaths
    instance: dg.DagsterInstance
    patch: pytest.MonkeyPatch
    cursor: str | None = None
    release_id: str = ""

    def at(self, moment: datetime) -> None:
        """Set the clock."""

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return moment.astimezone(tz)

        self.patch.setattr(sensors, "datetime", Clock)

    def look(self) -> dg.RunRequest | str:
        """Return what one look gives: a request, or why there is none."""
        sensor = sensors.landing_sensor(load_source(self.paths), self.paths)
        return self.tick(sensor)

    def tick(self, sensor: dg.SensorDefinition) -> dg.RunRequest | str:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return found.run_requests[0] if found.run_requests else found.skip_message

    def asked(self) -> dg.RunRequest:
        """Return the request of the first look, or of the second if files had to keep still."""
        found = self.look()
        if isinstance(found, str) and "keep still" in found:
            found = self.look()
        assert isinstance(found, dg.RunRequest), found
        return found

    def not_asked(self) -> str:
        """Return why nothing is asked for, once files have kept still."""
        found = self.look()
        if isinstance(found, str) and "keep still" in found:
            found = self.look()
        assert isinstance(found, str), found
        return found

    def run(
        self,
        request: dg.RunRequest,
        *,
        error: Exception | None = None,
        is_blocked: bool = False,
    ) -> str:
        """Let a run end that does no work: well, on an error, or blocked; return its id."""

        @dg.asset(key=common.TRANSACTIONS)
        def transactions() -> None:
            if error:
                raise error

        @dg.asset_check(asset=common.TRANSACTIONS, name="raw_gate_loads", blocking=True)
        def gate() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=not is_blocked, description="loads: it failed")

        @dg.asset(key=common.CURRENT, deps=[common.TRANSACTIONS])
        def current() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata={"release_id": "none", "is_current": False})

        tags = {RUN_KEY: request.run_key, **request.tags}
        # A span of days is none of these assets' business.
        tags = {key: value for key, value in tags.items() if "partition_range" not in key}
        return dg.materialize(
            [transactions, gate, current], instance=self.instance, tags=tags, raise_on_error=False
        ).run_id

    def status(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
        """Put a request's run into the book as it stands."""
        tags = {RUN_KEY: request.run_key, **request.tags}
        run = create_run_for_test(self.instance, job_name="daily", tags=tags, status=status)
        return run.run_id


def load(paths: SourcePaths) -> None:
    source = load_source(paths)
    with connect(paths) as connection:
        prepare_raw(connection)
        for table in RAW_TABLES:
            load_table(connection, source, paths, table, batch_id="test")


def publish_loaded(paths: SourcePaths, as_of: date = LAST_DAY) -> str:
    """Publish what is loaded, with two small tables in place of all; return the release's id."""
    with connect(paths) as connection:
        connection.execute(
            "create schema if not exists marts; create or replace table marts.customers as "
            "select 'C1' as customer_id, 1.00::decimal(18, 2) as net_revenue; "
            "create or replace table marts.lifecycle_flow as "
            "select date '2024-01-01' as month, 'x' as marker"
        )
        inputs = all_inputs(connection)
    made_from = release_identity(load_source(paths), as_of, code_version(), inputs)
    build_candidate(paths, made_from, TABLES, currency="EUR", settings={})
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    return publish(paths, make_current=True).release_id


def deliver(paths: SourcePaths, amount: str, name: str = "sales-late.csv") -> Path:
    file = paths.landing / name
    write_csv(file, [{**sales()[-1], "order": f"X{name}", "amount": amount}])
    return file


def minutes(count: float) -> datetime:
    """Return the moment so many minutes from now; ends of runs are by the machine's clock."""
    return datetime.now(UTC) + timedelta(minutes=count)


def end_source(daemon: Daemon) -> None:
    """Finish the source, so that its last complete day stays while the clock goes on."""
    file = daemon.paths.data_dir / "sources" / "shop.yml"
    file.write_text(file.read_text().replace("kind: live", f"kind: finished\nlast_day: {LAST_DAY}"))


def event_of(run: dg.DagsterRun, kind: dg.DagsterEventType, moment: datetime) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=moment.timestamp(),
        job_name="daily",
        dagster_event=dg.DagsterEvent(kind.value, "daily", message="It died."),
    )
