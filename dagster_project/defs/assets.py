"""Dagster assets: the raw tables, the dbt models and the release.

Belongs here: what exists, what it is made from and what a person sees of it in the UI. How it is
made is in the plain modules beside this one. Keys are `layer/table`, which is also the schema and
table in DuckDB; groups are layers.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    dbt_assets,
)

from dagster_project.cli import summary
from dagster_project.config import canonical
from dagster_project.config.sources import Source
from dagster_project.defs.resources import SourceRun
from dagster_project.loading import loader
from dagster_project.loading.loader import ALL_DAYS, DayRange, LoadReport
from dagster_project.models import dbt_project
from dagster_project.release import audit, releases
from dagster_project.runs.progress import show_models_only
from dagster_project.scores import score_tables, scoring
from dagster_project.warehouse import connect

OWNERS = ["team:data-engineering"]
# A range of days, with all that follows from it, is one run and not a run a day.
ONE_RUN = dg.BackfillPolicy.single_run()
# A morning run that fails is seen the same day; a missed second morning is a failure.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
)


def raw_key(table: str) -> dg.AssetKey:
    """Return the key of a raw table."""
    return dg.AssetKey(["raw", table])


CANDIDATE = dg.AssetKey(["release", "candidate"])
CURRENT = dg.AssetKey(["release", "current"])
TRANSACTIONS = raw_key("transactions")
RAW_KEYS = [raw_key(name) for name in canonical.TABLES]


def business_days(source: Source) -> dg.DailyPartitionsDefinition:
    """Return the calendar of the source: from its first to its last complete business day."""
    end = source.last_day and source.last_day + timedelta(days=1)
    return dg.DailyPartitionsDefinition(
        start_date=source.first_day.isoformat(),
        end_date=end and end.isoformat(),
        timezone=source.time_zone,
    )


def raw_assets(source: Source) -> list[dg.AssetsDefinition]:
    """Return one asset per canonical table."""
    others = [_raw_table(source, table) for table in canonical.OPTIONAL_TABLES]
    return [_raw_transactions(source), *others]


def _raw_transactions(source: Source) -> dg.AssetsDefinition:
    @dg.asset(
        key=TRANSACTIONS,
        partitions_def=business_days(source),
        backfill_policy=ONE_RUN,
        group_name="raw",
        kinds={"duckdb", "file"},
        owners=OWNERS,
        freshness_policy=FRESHNESS if source.kind == "live" else None,
        description=(
            f"{canonical.TRANSACTIONS.description} Partitioned by business day: materialising "
            "days replaces exactly those days. Days whose files have not changed stay as they are."
        ),
    )
    def transactions(
        context: dg.AssetExecutionContext, source_run: SourceRun
    ) -> dg.MaterializeResult:
        keys = context.partition_key_range
        # The ends of the calendar are open, so that a row dated outside it is loaded, seen by
        # the raw gate and not silently left out.
        first, last = date.fromisoformat(keys.start), date.fromisoformat(keys.end)
        wanted = DayRange(
            None if first <= source.first_day else first,
            None if last >= source.last_complete_day(datetime.now(UTC)) else last,
        )
        return _load(context, source_run, "transactions", wanted)

    return transactions


def _raw_table(source: Source, table: canonical.Table) -> dg.AssetsDefinition:
    declared = "" if table.name in source.tables else " This source has none: the table is empty."

    @dg.asset(
        key=raw_key(table.name),
        backfill_policy=ONE_RUN,
        group_name="raw",
        kinds={"duckdb", "file"},
        owners=OWNERS,
        description=f"{table.description}{declared}",
    )
    def raw_table(context: dg.AssetExecutionContext, source_run: SourceRun) -> dg.MaterializeResult:
        return _load(context, source_run, table.name, ALL_DAYS)

    return raw_table


def _load(
    context: dg.AssetExecutionContext, source_run: SourceRun, table: str, days: DayRange
) -> dg.MaterializeResult:
    with connect(source_run.paths) as connection:
        loader.prepare_raw(connection)
        report = loader.load_table(
            connection,
            source_run.source,
            source_run.paths,
            table,
            batch_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{context.run_id[:8]}",
            days=days,
            full_refresh=source_run.full_refresh,
        )
        metadata = _load_metadata(connection, report)
    for warning in report.warnings:
        context.log.warning(warning)
    context.log.info(
        f"{table}: {report.row_count:,} rows; {len(report.read_files)} files read, "
        f"{report.rejected_count:,} lines rejected"
    )
    return dg.MaterializeResult(metadata=metadata)


def _load_metadata(connection: Any, report: LoadReport) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "dagster/row_count": report.row_count,
        "files_read": len(report.read_files),
        "rejected_lines": report.rejected_count,
    }
    if report.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- {w}" for w in report.warnings))
    if report.table == "transactions":
        metadata["lines"] = _markdown_table(
            connection.execute(
                "select line_type, coalesce(excluded_reason, '') as excluded_reason, "
                "count(*) as lines, sum(amount) as amount from raw.transactions "
                "group by all order by all"
            )
        )
    return metadata


class WarehouseTranslator(DagsterDbtTranslator):
    """Gives the dbt models their owners; keys are schema/model already, groups are in `meta`."""

    def __init__(self) -> None:
        # The gate's day counts belong to the table they count: raw/transactions.
        settings = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
        super().__init__(settings=settings)

    def get_owners(self, dbt_resource_props: Any) -> list[str]:
        """Return the owners of every model."""
        return OWNERS


# What is made from scores, and everything before it: dbt runs once for each.
FROM_SCORES = "source:scores+"


def model_assets() -> list[dg.AssetsDefinition]:
    """Return the dbt models as assets, their tests as checks: before the scores and from them."""
    return [
        _models("models", exclude=f"resource_type:unit_test {FROM_SCORES}"),
        _models("scored_models", select=FROM_SCORES, exclude="resource_type:unit_test"),
    ]


def _models(name: str, **selection: str) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=dbt_project.manifest_path(),
        name=name,
        backfill_policy=ONE_RUN,
        dagster_dbt_translator=WarehouseTranslator(),
        **selection,
    )
    def models(
        context: dg.AssetExecutionContext, source_run: SourceRun, dbt: DbtCliResource
    ) -> Iterator[Any]:
        source_run.export_dbt_environment()
        arguments = ["build", "--vars", json.dumps(source_run.dbt_variables())]
        if source_run.full_refresh or audit.models_have_changed(source_run.paths):
            arguments.append("--full-refresh")
        target = source_run.paths.warehouse_dir / "dbt"
        events = []
        try:
            with show_models_only():
                for event in dbt.cli(arguments, context=context, target_path=target).stream():
                    events.append(event)
            audit.note_models(source_run.paths)
            # The other call of dbt writes into the same folder.
            (target / "run_results.json").replace(target / f"{name}_results.json")
        finally:
            # Rows are counted when dbt has given the file back.
            yield from _with_row_counts(source_run, events)

    return models


def _with_row_counts(source_run: SourceRun, events: list[Any]) -> Iterator[Any]:
    with connect(source_run.paths, read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where not internal"
        ).fetchall()
        counts = {
            f"{schema}__{table}": connection.execute(
                f"select count(*) from {schema}.{table}"
            ).fetchone()[0]
            for schema, table in tables
            if schema in ("intermediate", "marts")
        }
    for event in events:
        if isinstance(event, dg.Output) and event.output_name in counts:
            row_count = counts[event.output_name]
            yield event.with_metadata({**event.metadata, "dagster/row_count": row_count})
        else:
            yield event


def score_assets() -> dg.AssetsDefinition:
    """Return the tables of scores, which stand between the intermediate models and the marts."""
    read = ("int_score_tests", "int_purchase_histories", "int_customer_days")

    @dg.multi_asset(
        name="scores",
        specs=[
            dg.AssetSpec(
                ["scores", table],
                deps=[dg.AssetKey(["intermediate", model]) for model in read],
                group_name="scores",
                kinds={"python", "duckdb"},
                owners=OWNERS,
                description=dbt_project.source_description("scores", table),
            )
            for table in score_tables.TABLES
        ],
        backfill_policy=ONE_RUN,
    )
    def scores(
        context: dg.AssetExecutionContext, source_run: SourceRun
    ) -> Iterator[dg.MaterializeResult]:
        settings = scoring.Settings.of(source_run.source, source_run.as_of_date)
        with connect(source_run.paths) as connection:
            choices = scoring.write_scores(connection, settings)
            counts = {
                table: connection.execute(f"select count(*) from scores.{table}").fetchone()[0]
                for table in score_tables.TABLES
            }
        for score, choice in choices.items():
            context.log.info(f"{score}: {choice.published or 'none'} ({choice.reason})")
        published = {score: choice.published or "none" for score, choice in choices.items()}
        for table, row_count in counts.items():
            yield dg.MaterializeResult(
                asset_key=dg.AssetKey(["scores", table]),
                metadata={"dagster/row_count": row_count, **published},
            )

    return scores


def release_assets(source: Source) -> list[dg.AssetsDefinition]:
    """Return the candidate and the current release."""

    @dg.asset(
        key=CANDIDATE,
        deps=[
            *(dg.AssetKey(["marts", table.name]) for table in dbt_project.published_tables()),
            # The list of inputs names every table's files, also of tables no model reads yet.
            *RAW_KEYS,
        ],
        backfill_policy=ONE_RUN,
        group_name="release",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description=(
            "The next release, written beside the current one and not yet seen by any reader: "
            "DuckDB file, Parquet copies, manifest. The release gate audits this very file."
        ),
    )
    def candidate(context: dg.AssetExecutionContext, source_run: SourceRun) -> dg.MaterializeResult:
        paths, config = source_run.paths, source_run.source
        identity = audit.release_identity(paths, config, source_run.as_of_date)
        with connect(paths, read_only=True) as connection:
            churn_backtest = summary.churn_backtest(connection, "marts")
        releases.build_candidate(
            paths,
            identity,
            dbt_project.published_tables(),
            currency=config.currency,
            settings=config.model_settings(),
            churn_backtest=churn_backtest,
        )
        context.log.info(f"built candidate {identity.release_id}")
        with connect(paths, releases.candidate_file(paths), read_only=True) as connection:
            stages = _markdown_table(
                connection.execute(
                    "select lifecycle_stage, count(*) as customers, "
                    "sum(value_at_stake) as value_at_stake from customers group by all order by all"
                )
            )
            (customer_count,) = connection.execute("select count(*) from customers").fetchone()
        return dg.MaterializeResult(
            metadata={
                "release_id": identity.release_id,
                "as_of_date": identity.as_of.isoformat(),
                "dagster/row_count": customer_count,
                "stages": stages,
                "file": dg.MetadataValue.path(releases.candidate_file(paths)),
            }
        )

    @dg.asset(
        key=CURRENT,
        deps=[CANDIDATE],
        backfill_policy=ONE_RUN,
        group_name="release",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        freshness_policy=FRESHNESS if source.kind == "live" else None,
        description=(
            "The release that readers open. Switches to the candidate by one rename, and only if "
            "passing verdicts of the raw and the release gate are recorded for it."
        ),
    )
    def current(context: dg.AssetExecutionContext, source_run: SourceRun) -> dg.MaterializeResult:
        paths, config = source_run.paths, source_run.source
        identity = releases.candidate_identity(paths)
        former = releases.current_release(paths)
        built = releases.find_release(paths, identity.release_id)
        is_newer = former is None or identity.as_of >= former.as_of
        is_unwanted = built is not None and built.is_rolled_back
        release = releases.publish(
            paths,
            make_current=source_run.publish or (is_newer and not is_unwanted),
            keep=config.settings.kept_releases,
        )
        if release.is_current:
            context.log.info(f"release {release.release_id} is current")
        else:
            reason = (
                "it was rolled back from"
                if is_unwanted
                else "its as-of date is before the current's"
            )
            context.log.warning(
                f"release {release.release_id} is kept but not current: {reason}; run with "
                "--publish to make it current"
            )
        return dg.MaterializeResult(
            metadata={
                "release_id": release.release_id,
                "is_current": release.is_current,
                "file": dg.MetadataValue.path(paths.published_file),
            }
        )

    return [candidate, current]


def _markdown_table(result: Any) -> dg.MetadataValue:
    names = [column[0] for column in result.description]
    rows = [names, ["---"] * len(names), *result.fetchall()]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(str, row))} |" for row in rows))
