"""Everything Dagster loads, put together for one source.

`build_definitions` is the seam for tests and for other entry points; `defs` is what `dg` loads.
"""

import warnings

import dagster as dg

from dagster_project.config.source import Source, load_source
from dagster_project.defs import checks, jobs, schedules, sensors
from dagster_project.defs.assets import models, raw, release, scores
from dagster_project.defs.resources import SourceRun
from dagster_project.loading.feed import watched_tables
from dagster_project.paths import DEFAULT_SOURCE, SourcePaths, default_data_dir, setting
from dagster_project.runs.progress import progress_logger


def build_definitions(source: Source, paths: SourcePaths) -> dg.Definitions:
    """Return the definitions of one source in one data directory."""
    # The pinned version has what is used of it; the notice would head every run's output.
    warnings.filterwarnings("ignore", message=".*backfill_policy.* is currently in beta")
    return dg.Definitions(
        assets=[
            *raw.raw_assets(source),
            *models.model_assets(),
            scores.score_assets(),
            *release.release_assets(source),
        ],
        asset_checks=[
            checks.raw_gate(),
            checks.release_gate(),
            # A finished source stays as old as it is.
            *(map(checks.freshness, watched_tables(source)) if source.kind == "live" else []),
        ],
        jobs=[jobs.daily_job(), jobs.full_rebuild_job()],
        schedules=[schedules.morning_schedule(source, paths)],
        sensors=[sensors.landing_sensor(source, paths)],
        resources={
            "source_run": SourceRun.configure_at_launch(
                source_name=source.name, data_dir=str(paths.data_dir)
            ),
        },
        loggers={"console": progress_logger},
        # One process a run: the lock, DuckDB's single writer and a kill all act on one process.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the source named by `WINBACK_SOURCE`."""
    paths = SourcePaths(default_data_dir(), setting("WINBACK_SOURCE", DEFAULT_SOURCE))
    return build_definitions(load_source(paths), paths)
