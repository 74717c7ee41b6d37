"""Dagster schedules: the morning run."""

import os
from datetime import UTC, datetime

import dagster as dg

from dagster_project.config.source import Source, load_source
from dagster_project.defs.jobs import DAILY, request
from dagster_project.notices.tell import telling_failures
from dagster_project.paths import SCHEDULE_IS_ON, SourcePaths
from dagster_project.runs.planning import plan_load

MORNING = "0 6 * * *"


def morning_schedule(source: Source, paths: SourcePaths) -> dg.ScheduleDefinition:
    """Return the schedule; see `_default_status`."""

    @dg.schedule(
        name="morning_run",
        job_name=DAILY,
        cron_schedule=MORNING,
        execution_timezone=source.schedule_time_zone or source.time_zone,
        default_status=_default_status(),
        description="Every morning at 6: loads what came in, rebuilds, audits and publishes.",
    )
    def morning_run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = f"{context.scheduled_execution_time:%Y-%m-%d}"
        with telling_failures(paths):
            plan = plan_load(paths, load_source(paths), datetime.now(UTC))
        return dg.RunRequest(run_key=day, **request(plan))

    return morning_run


def _default_status() -> dg.DefaultScheduleStatus:
    """Return whether it is on until someone turns it on or off in the UI.

    In the UI it is off; `winback daemon` is started for nothing else.
    """
    is_on = SCHEDULE_IS_ON in os.environ
    return dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED
