"""Dagster's book of runs, kept honest: when a run was asked for, and which have died."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg

from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import has_died, marked_at

# Tag of a run that says when it was asked for; re-executions inherit it.
REQUESTED_AT = "winback/requested_at"
# Set by Dagster on each run of a backfill.
BACKFILL = "dagster/backfill"
# A run whose process has not yet come to mark itself as living is not taken for dead; Dagster's
# daemon waits as long, see `start_timeout_seconds` in dagster.yaml.
START_UP = timedelta(seconds=180)
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


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

    One that a person was terminating is marked as canceled. Runs that wait for the source's lock
    are living and left alone.
    """
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run_id = record.dagster_run.run_id
        is_dead = has_died(paths, run_id)
        if is_dead is None:
            began = record.start_time or record.create_timestamp.timestamp()
            since = max(began, marked_at(paths, run_id))
            is_dead = time.time() - since > START_UP.total_seconds()
        # Its end may have been recorded since the list was made.
        run = instance.get_run_by_id(run_id)
        if not is_dead or run is None or run.is_finished:
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "The run's process is gone.")
        else:
            instance.report_run_failed(run, "The run's process ended without a word; run again.")
        (paths.alive / run_id).unlink(missing_ok=True)
        dead.append(run_id)
    return dead


def mark_dead_runs(paths: SourcePaths, inform: Callable[[str], None]) -> None:
    """Mark what a kill or a reboot ended, when the daemon starts: see `fail_dead_runs`.

    Dagster's own daemon asks no process whether a run still works.
    """
    with dg.DagsterInstance.get() as instance:
        for run_id in fail_dead_runs(paths, instance):
            inform(f"Run {run_id} had died; it is marked as failed.")
