"""The raw tables, one asset per canonical table."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.defs.assets.common import (
    ONE_RUN,
    OWNERS,
    TRANSACTIONS,
    GivenRun,
    markdown_table,
    raw_key,
)
from dagster_project.loading.feed import read_feed, watched_tables
from dagster_project.loading.load import LoadReport, load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.warehouse import connect


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
        description=(
            f"{canonical.TRANSACTIONS.description} Partitioned by business day. Whatever days are "
            "materialised, a new or changed file is loaded with all its days; days whose files "
            "have not changed stay as they are."
        ),
    )
    def transactions(
        context: dg.AssetExecutionContext, source_run: GivenRun
    ) -> dg.MaterializeResult:
        return _load(context, source_run, "transactions")

    return transactions


def _raw_table(source: Source, table: canonical.Table) -> dg.AssetsDefinition:
    # The other tables ask which values of "no customer" are customers nevertheless.
    priority = {"dagster/priority": "1"} if table.name == "customers" else {}
    declared = "" if table.name in source.tables else " This source has none: the table is empty."

    @dg.asset(
        key=raw_key(table.name),
        op_tags=priority,
        backfill_policy=ONE_RUN,
        group_name="raw",
        kinds={"duckdb", "file"},
        owners=OWNERS,
        description=f"{table.description}{declared}",
    )
    def raw_table(context: dg.AssetExecutionContext, source_run: GivenRun) -> dg.MaterializeResult:
        return _load(context, source_run, table.name)

    return raw_table


def _load(
    context: dg.AssetExecutionContext, source_run: GivenRun, table: str
) -> dg.MaterializeResult:
    with connect(source_run.paths) as connection:
        prepare_raw(connection)
        report = load_table(
            connection,
            source_run.source,
            source_run.paths,
            table,
            batch_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{context.run_id[:8]}",
            full_refresh=source_run.is_full_refresh,
        )
        metadata = _load_metadata(connection, report)
        if table in watched_tables(source_run.source):
            feed = read_feed(connection, source_run.source, source_run.as_of, table)
            metadata |= feed.silence.facts() if feed else {}
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
    metadata["counted"] = markdown_table(
        connection.execute(
            "select measure, item, sum(line_count)::bigint as lines, sum(amount) as amount "
            "from raw.load_report where table_name = ? group by all order by all",
            [report.table],
        )
    )
    if report.table == "transactions":
        metadata["lines"] = markdown_table(
            connection.execute(
                "select line_type, coalesce(excluded_reason, '') as excluded_reason, "
                "count(*) as lines, sum(amount) as amount from raw.transactions "
                "group by all order by all"
            )
        )
    return metadata
