"""What the suites judge against, written into the warehouse's schema `audit` before they run.

Belongs here: figures that a suite joins and that are in no table it judges. GX does not put
parameters into the SQL of an expectation.
"""

from datetime import date

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.loading.feed import DROP_SHARE, read_feeds
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import attach, connect

LIMITS_DDL = """
create or replace table audit.limits (
    source_name varchar, currency varchar, as_of_date date, today date, earliest_day date,
    latest_day date, minimum_amount decimal(18, 2), maximum_amount decimal(18, 2),
    maximum_rejected_share double, maximum_customerless_share double, key_columns varchar[],
    keeps_last_duplicate boolean, contact_columns varchar[], allows_no_customers boolean
)"""
# How the watched tables stand (see `loading.feed`); no row where nothing that counts has come in.
FEED_DDL = """
create or replace table audit.feed (
    table_name varchar, as_of_date date, is_live boolean, silent_days bigint,
    open_silent_days bigint, unusual_days date[], maximum_silent_days bigint, is_sure boolean,
    is_usual boolean, words varchar, day_lines bigint, usual_day_lines double, week_lines bigint,
    usual_week_lines double, drop_share double
)"""
FORMER_STAGES_DDL = """
create or replace table audit.former_stages (
    lifecycle_stage varchar, customer_count bigint, as_of_date date
)"""


def write_limits(paths: SourcePaths, source: Source, as_of: date, today: date) -> None:
    """Write the source's limits and how its feeds stand into `audit`, which the suites join."""
    transactions = source.tables["transactions"]
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(LIMITS_DDL)
        connection.execute(
            "insert into audit.limits values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                source.name,
                source.currency,
                as_of,
                today,
                source.first_day,
                source.last_day or today,
                source.limits.minimum_amount,
                source.limits.maximum_amount,
                source.limits.maximum_rejected_share,
                source.limits.maximum_customerless_share,
                list(transactions.key),
                transactions.duplicates == "keep_last",
                [*source.allow_contact_shapes, *_plain_ids(source)],
                source.limits.allow_no_customers,
            ],
        )
        connection.execute(FEED_DDL)
        for feed in read_feeds(connection, source, as_of):
            silence, volume = feed.silence, feed.volume
            connection.execute(
                "insert into audit.feed values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    silence.table,
                    as_of,
                    source.kind == "live",
                    silence.days,
                    silence.open_days,
                    list(silence.unusual_days),
                    silence.limit,
                    silence.is_sure,
                    silence.is_usual,
                    silence.words,
                    volume.day_lines,
                    volume.usual_day_lines,
                    volume.week_lines,
                    volume.usual_week_lines,
                    DROP_SHARE,
                ],
            )


def _plain_ids(source: Source) -> list[str]:
    """Return the id columns that the source wants to be published as they are."""
    if source.pseudonymise_ids != "never":
        return []
    columns = [column for table in canonical.TABLES.values() for column in table.columns]
    return sorted({column.name for column in columns if column.kind == "id"})


def write_former_stages(paths: SourcePaths) -> None:
    """Write stage counts and as-of date of the current release into `audit.former_stages`."""
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(FORMER_STAGES_DDL)
        if paths.published_file.exists():
            attach(connection, paths.published_file, "former", read_only=True)
            connection.execute(
                "insert into audit.former_stages select lifecycle_stage, count(*), any_value("
                "(select max(valid_to) from former.main.customer_stage_history)) "
                "from former.main.customers group by all"
            )
