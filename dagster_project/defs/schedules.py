"""Dagster schedules: the morning run."""

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from dagster_project.config.source import Source, load_source
from dagster_project.defs.jobs import DAILY
from dagster_project.paths import SourcePaths
from dagster_project.runs.planning import Plan, plan_load

MORNING = "0 6 * * *"


def range_tags(plan: Plan) -> dict[str, str]:
    """Return the run tags that make one run load a span of days."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: plan.first.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: plan.last.isoformat(),
    }


def morning_schedule(source: Source, paths: SourcePaths) -> dg.ScheduleDefinition:
    """Return the schedule; it is off until someone turns it on in the UI."""

    @dg.schedule(
        name="morning_run",
        job_name=DAILY,
        cron_schedule=MORNING,
        execution_timezone=source.schedule_time_zone or source.time_zone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every morning at 6: loads what came in, rebuilds, audits and publishes.",
    )
    def morning_run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = f"{context.scheduled_execution_time:%Y-%m-%d}"
        return dg.RunRequest(run_key=day, tags=range_tags(plan_load(paths, load_source(paths))))

    return morning_run
