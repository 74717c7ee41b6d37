"""Dagster schedules: the morning run."""

from datetime import UTC, datetime

import dagster as dg

from dagster_project.config.source import Source, load_source
from dagster_project.defs.jobs import DAILY, is_unattended, request
from dagster_project.errors import read
from dagster_project.notices.tell import telling_failures
from dagster_project.paths import SourcePaths
from dagster_project.runs.planning import plan_load

MORNING_RUN = "morning_run"
MORNING = "0 6 * * *"


def morning_schedule(source: Source, paths: SourcePaths) -> dg.ScheduleDefinition:
    """Return the schedule; it is off until someone turns it on in the UI, or starts the daemon."""

    @dg.schedule(
        name=MORNING_RUN,
        job_name=DAILY,
        cron_schedule=MORNING,
        execution_timezone=source.schedule_zone.key,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING
            if is_unattended()
            else dg.DefaultScheduleStatus.STOPPED
        ),
        description="Every morning at 6: loads what came in, rebuilds, audits and publishes.",
    )
    def morning_run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = f"{context.scheduled_execution_time:%Y-%m-%d}"
        try:
            with telling_failures(paths):
                plan = plan_load(paths, load_source(paths), datetime.now(UTC))
        except Exception as error:
            # One line on the tick's page; the sensor asks for the morning's run once it can.
            fault = read(error)
            if fault.details:
                context.log.error(fault.details)
            return dg.SkipReason(str(fault))
        return dg.RunRequest(run_key=day, **request(plan))

    return morning_run
