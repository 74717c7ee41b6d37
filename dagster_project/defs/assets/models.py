"""The dbt models as assets, their tests as checks."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from dagster_dbt.asset_utils import get_subset_selection_for_context
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from dbt_common.events.functions import msg_to_dict

from dagster_project.defs.assets.common import ONE_RUN, OWNERS, GivenRun, noting_built
from dagster_project.models import dbt_project
from dagster_project.models.dbt_runner import engine_environment, run_dbt
from dagster_project.models.version import models_have_changed, note_models
from dagster_project.paths import SourcePaths
from dagster_project.runs.progress import show_dbt_event
from dagster_project.warehouse import connect, noticing_damage

# What is made from scores, and everything before it: dbt runs once for each.
FROM_SCORES = "source:scores+"
# They are of the program and not of the data.
UNIT_TESTS = "resource_type:unit_test"
CUSTOMER_DAYS = dg.AssetKey(["intermediate", "int_customer_days"])
RESULTS = ("LogModelResult", "LogSeedResult", "LogTestResult")


class WarehouseTranslator(DagsterDbtTranslator):
    """Gives the dbt models their owners; keys are schema/model already, groups are in `meta`."""

    def __init__(self) -> None:
        # The gate's day counts belong to the table they count: raw/transactions.
        settings = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
        super().__init__(settings=settings)

    def get_owners(self, dbt_resource_props: Any) -> list[str]:
        """Return the owners of every model."""
        return OWNERS


def model_assets() -> list[dg.AssetsDefinition]:
    """Return the dbt models as assets, their tests as checks: before the scores and from them."""
    return [
        _models("models", exclude=f"{UNIT_TESTS} {FROM_SCORES}"),
        _models("scored_models", select=FROM_SCORES, exclude=UNIT_TESTS),
    ]


def _models(name: str, *, exclude: str, select: str = "fqn:*") -> dg.AssetsDefinition:
    translator = WarehouseTranslator()

    @dbt_assets(
        manifest=dbt_project.manifest_path(),
        name=name,
        select=select,
        exclude=exclude,
        backfill_policy=ONE_RUN,
        dagster_dbt_translator=translator,
    )
    def models(context: dg.AssetExecutionContext, source_run: GivenRun) -> Iterator[Any]:
        paths = source_run.paths
        manifest = dbt_project.manifest()
        selection, indirect = get_subset_selection_for_context(
            context, manifest, select, exclude, None, translator, None
        )
        # What dbt would write about the run is in Dagster's log of it.
        arguments = ["build", "--no-write-json", *selection]
        if "--exclude" not in selection:
            # A few chosen models: neither unit tests, nor tests against tables that are not there
            # yet or still hold another day because they were not chosen.
            arguments += ["--exclude", UNIT_TESTS]
            indirect = indirect or "buildable"
        if indirect:
            arguments += ["--indirect-selection", indirect]
        if source_run.is_full_refresh or models_have_changed(paths, source_run.code):
            arguments.append("--full-refresh")
        results: list[dict[str, Any]] = []

        def listen(message: Any) -> None:
            show_dbt_event(message)
            if message.info.name in RESULTS:
                results.append(msg_to_dict(message))

        variables = source_run.source.dbt_variables(source_run.as_of)
        try:
            with noting_built(context, source_run), noticing_damage(paths):
                run_dbt(
                    arguments,
                    target=paths.warehouse_dir / "dbt" / name,
                    variables=variables,
                    environment=engine_environment(paths),
                    parsed=dbt_project.parsed_project(variables),
                    on_event=listen,
                )
            # A few chosen models leave days of another version in the one table that keeps any.
            if CUSTOMER_DAYS in context.selected_asset_keys:
                note_models(paths, source_run.code)
        finally:
            # Rows are counted when dbt has given the file back.
            counts = _row_counts(paths)
            for result in results:
                told = DbtCoreCliEventMessage(raw_event=result, event_history_metadata={})
                for event in told.to_default_asset_events(manifest, translator, context):
                    yield _with_row_count(event, counts)

    return models


def _row_counts(paths: SourcePaths) -> dict[str, int]:
    """Return the rows of each table of the models, by the name of its asset's output."""
    with connect(paths, read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where schema_name in ('intermediate', 'marts')"
        ).fetchall()
        return {
            f"{schema}__{table}": connection.execute(
                f"select count(*) from {schema}.{table}"
            ).fetchone()[0]
            for schema, table in tables
        }


def _with_row_count(event: Any, counts: dict[str, int]) -> Any:
    if isinstance(event, dg.Output) and event.output_name in counts:
        row_count = counts[event.output_name]
        return event.with_metadata({**event.metadata, "dagster/row_count": row_count})
    return event
