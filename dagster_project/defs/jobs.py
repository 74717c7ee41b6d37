"""Dagster jobs: the daily run and the full rebuild, over everything, and how a run is requested."""

import os
from datetime import date
from typing import Any

import dagster as dg

from dagster_project.paths import UNATTENDED
from dagster_project.runs.bookkeeping import REQUESTED_AT
from dagster_project.runs.planning import Plan

DAILY = "daily"
FULL_REBUILD = "full_rebuild"
# Dagster's documented tags that make one run of a span of partitions.
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def daily_job() -> Any:
    """Return the job that loads days, rebuilds the models and publishes."""
    return dg.define_asset_job(
        DAILY,
        selection=dg.AssetSelection.all(),
        description=(
            "Loads the chosen business days, rebuilds what depends on them, audits and publishes. "
            "Days whose files have not changed cost nothing."
        ),
    )


def full_rebuild_job() -> Any:
    """Return the job that reads every file and computes every day anew."""
    return dg.define_asset_job(
        FULL_REBUILD,
        selection=dg.AssetSelection.all(),
        config=run_config(full_refresh=True),
        description="Reads every file and computes every day anew, then audits and publishes.",
    )


def is_unattended() -> bool:
    """Return whether the schedule and the sensor are on until someone turns them off in the UI.

    Where the UI runs they are off; `winback daemon` is started for nothing else.
    """
    return UNATTENDED in os.environ


def run_config(**settings: Any) -> dict[str, Any]:
    """Return the run configuration that gives `SourceRun` these settings."""
    return {"resources": {"source_run": {"config": settings}}}


def request(plan: Plan, as_of: date | None = None, **settings: Any) -> dict[str, Any]:
    """Return tags and run configuration of a run over the days of a plan.

    The run carries its dates, so that it means the same however late it starts.

    Args:
        plan: The days.
        as_of: By default the plan's last day.
        settings: Further settings of `SourceRun`.
    """
    return {
        "tags": {
            RANGE_START: plan.first.isoformat(),
            RANGE_END: plan.last.isoformat(),
            REQUESTED_AT: plan.requested_at.isoformat(),
        },
        "run_config": run_config(as_of=(as_of or plan.last).isoformat(), **settings),
    }
