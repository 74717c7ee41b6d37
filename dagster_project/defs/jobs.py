"""Dagster jobs: the daily run and the full rebuild, over everything."""

from typing import Any

import dagster as dg

DAILY = "daily"
FULL_REBUILD = "full_rebuild"


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
        config={"resources": {"source_run": {"config": {"full_refresh": True}}}},
        description="Reads every file and computes every day anew, then audits and publishes.",
    )
