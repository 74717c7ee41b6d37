"""Dagster's book of runs, kept honest: when a run was asked for, and which have died."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import has_died

# Tag of a run that says when it was asked for; re-executions inherit it.
REQUESTED_AT = "winback/requested_at"
# Set by Dagster on each run of a backfill.
BACKFILL = "dagster/backfill"
# A run whose process has not yet come to mark itself as living is not taken for dead.
START_UP = timedelta(seconds=120)


def requested_at(run: dg.DagsterRun, instance: dg.DagsterInstance) -> datetime:
    """Return the moment at which a run was asked for, from which all its dates follow.

    A run may wait behind another one over midnight; what was meant is what was asked for.
    """
    if REQUESTED_AT in run.tags:
        return datetime.fromisoformat(run.tags[REQUESTED_AT])
    backfill = instance.get_backfill(run.tags[BACKFILL]) if BACKFILL in run.tags else None
    if backfill is not None:
        return datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
    record = instance.get_run_record_by_id(run.run_id)
    return record.create_timestamp if record is not None else datetime.now(UTC)


def fail_dead_runs(paths: SourcePaths, instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process has died as failed, so that none shows as working for ever.

    Call under the source's lock. Runs that wait for the lock are living and left alone.
    """
    dead = []
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    )
    for record in records:
        run_id = record.dagster_run.run_id
        is_dead = has_died(paths, run_id)
        if is_dead is None:
            is_dead = time.time() - (record.start_time or 0) > START_UP.total_seconds()
        if not is_dead:
            continue
        instance.report_run_failed(
            record.dagster_run, "The run's process ended without a word; run again."
        )
        (paths.alive / run_id).unlink(missing_ok=True)
        dead.append(run_id)
    return dead
