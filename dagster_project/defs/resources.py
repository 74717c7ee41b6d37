"""Dagster resources: the run of a source, which holds its lock, and dbt.

Belongs here: what an asset needs and must be given back when the run ends. What assets do with
it is in the plain modules they call.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource
from pydantic import Field

from dagster_project.config.source import Source, load_source
from dagster_project.models import dbt_project
from dagster_project.models.dbt_executable import PARSED_PROJECT
from dagster_project.paths import DBT_DIR, SourcePaths
from dagster_project.release import releases
from dagster_project.runs.locking import fail_dead_runs, living_run, source_lock
from dagster_project.runs.planning import resolve_as_of
from dagster_project.warehouse import engine_settings


class SourceRun(dg.ConfigurableResource):
    """The one run that works on a source; every asset of the warehouse requires it.

    Holds the source's lock from start to end of the run, clears what killed runs left, and
    carries the settings of this run, which the Launchpad lets a person change.
    """

    source_name: str = Field(description="Name of the source, as in data/sources/<name>.yml")
    data_dir: str = Field(description="Data directory")
    as_of: str | None = Field(
        default=None, description="As-of date YYYY-MM-DD; by default the last complete day"
    )
    publish: bool = Field(
        default=False,
        description="Make the release current even if its as-of date is before the current one's",
    )
    full_refresh: bool = Field(
        default=False, description="Read every file and compute every day anew"
    )

    @property
    def paths(self) -> SourcePaths:
        """Folders of the source."""
        return SourcePaths(Path(self.data_dir), self.source_name)

    @property
    def source(self) -> Source:
        """Configuration of the source, read anew so that edits count without a restart."""
        return load_source(self.paths)

    @property
    def as_of_date(self) -> date:
        """The end of this business date is now, for every table of the run."""
        return resolve_as_of(self.source, self.as_of)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["SourceRun"]:
        """Hold the lock for the whole run; see the class."""
        paths, log = self.paths, context.log
        with (
            living_run(paths, context.run.run_id),
            source_lock(paths, lambda text: log.warning(text)),
        ):
            for run_id in fail_dead_runs(paths, context.instance):
                log.warning(f"Run {run_id} had died; it is marked as failed.")
            releases.recover(paths)
            yield self

    def dbt_variables(self) -> dict[str, Any]:
        """Return the variables the models are built with."""
        source = self.source
        return {
            "as_of_date": self.as_of_date.isoformat(),
            "first_day": source.first_day.isoformat(),
            **source.model_settings(),
        }

    def export_dbt_environment(self) -> None:
        """Set what profiles.yml and `winback-dbt` read; dbt inherits this process's environment."""
        settings = engine_settings(self.paths)
        os.environ[PARSED_PROJECT] = str(dbt_project.parsed_project(self.dbt_variables()))
        os.environ["WINBACK_WAREHOUSE"] = str(self.paths.warehouse)
        os.environ["WINBACK_MEMORY_LIMIT"] = settings["memory_limit"]
        os.environ["WINBACK_SPILL"] = settings["temp_directory"]
        # By default dbt.log holds every statement, which is a tenth of dbt's own work.
        os.environ["DBT_LOG_LEVEL_FILE"] = "info"


class Dbt(DbtCliResource):
    """dbt without the second one that dagster-dbt loads into this process to look up columns."""

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:
        return None


def dbt_resource() -> Dbt:
    """Return dbt over the project's models; see `dbt_executable` for why not plain dbt."""
    return Dbt(
        project_dir=str(DBT_DIR),
        profiles_dir=str(DBT_DIR),
        dbt_executable=str(dbt_project.DBT_EXECUTABLE),
    )
