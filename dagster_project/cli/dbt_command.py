"""`winback dbt`: dbt by hand, on the warehouse and with the settings of a source's last run."""

from collections.abc import Callable, Sequence
from datetime import date

import duckdb

from dagster_project.config.source import load_source
from dagster_project.errors import WinbackError
from dagster_project.models.dbt_runner import engine_environment, run_dbt
from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import source_lock
from dagster_project.warehouse import connect


def run(paths: SourcePaths, arguments: Sequence[str], *, inform: Callable[[str], None]) -> None:
    """Run one dbt command as a run of the source would, under its lock; dbt prints what it does.

    Raises:
        ConfigurationError: The source's file is wrong.
        WinbackError: No run has loaded the source, or dbt failed.
    """
    source = load_source(paths)
    with source_lock(paths, inform):
        as_of = _last_as_of(paths)
        if as_of is None:
            raise WinbackError(
                f"{source.name}: no run has got as far as the models, so dbt has nothing to work "
                f"on; start with `winback run --source {source.name}`."
            )
        run_dbt(
            arguments,
            target=paths.warehouse_dir / "dbt" / "by_hand",
            variables=source.dbt_variables(as_of),
            environment=engine_environment(paths),
            console="info",
        )


def _last_as_of(paths: SourcePaths) -> date | None:
    """Return the as-of date of the last run, which its raw gate noted."""
    if not paths.warehouse.exists():
        return None
    with connect(paths, read_only=True) as connection:
        try:
            return connection.execute("select as_of_date from audit.limits").fetchone()[0]
        except duckdb.CatalogException:
            return None
