"""The tables of schema `raw`: what they are, and what they say of the files loaded into them."""

from dataclasses import dataclass

import duckdb

from dagster_project.config import canonical
from dagster_project.warehouse import identifier

DDL = """
create schema if not exists raw;
create table if not exists raw.loads (
    table_name varchar, source_file varchar, file_hash varchar, load_key varchar,
    line_count bigint, row_count bigint, rejected_count bigint, rejected_share double,
    is_present boolean, batch_id varchar, loaded_at timestamp,
    record_count bigint, empty_count bigint, break_count bigint, blank_count bigint,
    delivered_at timestamp
);
create table if not exists raw.load_days (
    source_file varchar, ordered_on date, row_count bigint, customerless_row_count bigint,
    amount decimal(38, 2), used_amount decimal(38, 2), batch_id varchar, used_row_count bigint
);
alter table raw.load_days add column if not exists used_row_count bigint;
create table if not exists raw.rejected_rows (
    table_name varchar, source_file varchar, file_hash varchar, row_number bigint,
    reason varchar, original_text varchar, batch_id varchar, loaded_at timestamp
);
create table if not exists raw.load_report (
    table_name varchar, source_file varchar, measure varchar, item varchar,
    line_count bigint, amount decimal(38, 2), batch_id varchar
);
create table if not exists raw.duplicate_keys (
    source_file varchar, source_row bigint, transaction_id varchar
);
create table if not exists raw.line_versions (
    source_file varchar, source_row bigint, ordered_on date, version decimal(38, 6)
);
create table if not exists raw.compared_days (
    ordered_on date, source_file varchar, batch_id varchar, line_count bigint
);
create table if not exists raw.pseudonym_key (fingerprint varchar);
create table if not exists raw.repeated_lines (
    ordered_on date, source_file varchar, other_file varchar, line_count bigint,
    few_line_count bigint
);
"""
# Of a file's lines: records with rows in raw, unpivoted records without any value to keep, line
# breaks in values, blank lines. With `rejected_count` they add up to `line_count`; null where a
# load did not count them yet.
LINE_COUNTS = ("record_count", "empty_count", "break_count", "blank_count")
# What a day's used lines come to, over rows of transactions; see `raw.load_days`.
USED_ROWS = "count(*) filter (excluded_reason is null)"
CUSTOMERLESS_ROWS = "count(*) filter (excluded_reason is null and customer_id is null)"
USED_AMOUNT = "coalesce(sum(amount) filter (excluded_reason is null), 0)"
# Days of files that went before used lines were counted, for no load counts those again.
COUNT_USED_LINES = f"""
update raw.load_days
set used_row_count = counted.used, customerless_row_count = counted.customerless
from (
    select
        source_file, ordered_on, {USED_ROWS} as used, {CUSTOMERLESS_ROWS} as customerless
    from raw.transactions
    semi join (from raw.load_days where used_row_count is null) using (source_file, ordered_on)
    group by source_file, ordered_on
) as counted
where load_days.source_file = counted.source_file and load_days.ordered_on = counted.ordered_on
"""
# How many lines a file has of a day, in schema {raw}, of the tables whose lines have one: business
# days of transactions, days of UTC of interactions.
DATED_LINES = {
    "transactions": "select source_file, ordered_on as day, row_count as line_count "
    "from {raw}.load_days where row_count > 0",
    "interactions": "select source_file, occurred_at::date as day, 1 as line_count "
    "from {raw}.interactions",
}
# Tables that say something of a table's file: `table_name`, `source_file`.
TABLES_OF_FILES = ("loads", "rejected_rows", "load_report")
# Tables that say something of a file's transactions on a day: `source_file`, `ordered_on`.
TABLES_OF_DAYS = ("load_days", "line_versions")


@dataclass(frozen=True)
class KnownLoad:
    """What raw holds of a file."""

    file_hash: str
    load_key: str
    line_count: int
    rejected_share: float
    is_present: bool


def prepare_raw(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are missing; every canonical table exists, if empty."""
    connection.execute(DDL)
    for count in LINE_COUNTS:
        connection.execute(f"alter table raw.loads add column if not exists {count} bigint")
    # When a file's present content was first loaded; it stays when the same is read again.
    connection.execute("alter table raw.loads add column if not exists delivered_at timestamp")
    connection.execute("update raw.loads set delivered_at = loaded_at where delivered_at is null")
    # Files were once loaded in parts.
    connection.execute("alter table raw.loads drop column if exists is_complete")
    for table in canonical.TABLES.values():
        columns = [f"{identifier(c.name)} {c.sql_type}" for c in table.columns]
        if table is canonical.TRANSACTIONS:
            columns.append(f"amount_original {canonical.EXACT_NUMBER}")
        columns += [f"{c.name} {c.sql_type}" for c in canonical.LINEAGE]
        connection.execute(f"create table if not exists raw.{table.name} ({', '.join(columns)})")
    connection.execute(COUNT_USED_LINES)


def is_prepared(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether `prepare_raw` has run on the warehouse."""
    (count,) = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = 'raw' and table_name = 'loads'"
    ).fetchone()
    return count > 0


def lines_by_day(connection: duckdb.DuckDBPyConnection, raw: str) -> dict[str, dict[str, int]]:
    """Return how many lines raw holds of each day, by table; of tables whose lines have a day.

    Args:
        connection: Where the warehouse is open.
        raw: The schema, with the warehouse's name if it is attached.

    Returns:
        Lines by date (ISO), in its order; see `DATED_LINES`.
    """
    return {
        table: dict(
            connection.execute(
                "select day::varchar, sum(line_count)::bigint "
                f"from ({query.format(raw=raw)}) group by day order by day"
            ).fetchall()
        )
        for table, query in DATED_LINES.items()
    }


def first_days(connection: duckdb.DuckDBPyConnection, raw: str) -> dict[str, dict[str, str]]:
    """Return the first day of which each file has lines, by table and file; see `lines_by_day`."""
    return {
        table: dict(
            connection.execute(
                "select parse_filename(source_file) as file, min(day)::varchar "
                f"from ({query.format(raw=raw)}) group by file order by file"
            ).fetchall()
        )
        for table, query in DATED_LINES.items()
    }


def known_loads(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, KnownLoad]:
    """Return what raw holds of a table's files, by file."""
    rows = connection.execute(
        "select source_file, file_hash, load_key, line_count, rejected_share, is_present "
        "from raw.loads where table_name = ? order by source_file",
        [table],
    ).fetchall()
    return {file: KnownLoad(*rest) for file, *rest in rows}
