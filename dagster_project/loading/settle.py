"""What happens in raw to rows that no file of a load holds, and to keys that are there twice."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import duckdb

from dagster_project.config.tables import TableSource
from dagster_project.loading.raw_tables import (
    CUSTOMERLESS_ROWS,
    TABLES_OF_DAYS,
    TABLES_OF_FILES,
    USED_AMOUNT,
    USED_ROWS,
    known_loads,
)
from dagster_project.warehouse import identifier, literal

SUPERSEDED = "superseded by a later row with the same key"
# The measure of `raw.load_report` that counts superseded lines of one and the same file.
SUPERSEDED_IN_FILE = "superseded_in_file"


def clear(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Remove everything that raw holds of a table."""
    for file in known_loads(connection, table):
        _withdraw(connection, table, file)
    connection.execute(f"delete from raw.{table}")


def settle_gone_files(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    present: Mapping[str, str],
    *,
    rejected_limit: float,
    is_refreshed: bool,
) -> list[str]:
    """Decide about loaded files that are no longer there; `present` gives each file's hash.

    A file whose content has another name now was renamed, and so are its rows. One that never got
    through the gate leaves raw. Else the rows are kept; a full refresh drops them (those of
    transactions only on days that present files have, see `drop_covered_days`). Returns a warning
    for each such file.
    """
    warnings = []
    known = known_loads(connection, table)
    connection.execute(
        "update raw.loads set is_present = true where table_name = ? and not is_present", [table]
    )
    for file, load in known.items():
        if file in present:
            continue
        namesakes = [name for name, content in present.items() if content == load.file_hash]
        unread = [n for n in namesakes if n not in known or known[n].file_hash != load.file_hash]
        if unread and load.line_count:
            _withdraw(connection, table, unread[0])
            _rename(connection, table, file, unread[0])
            known = known | {unread[0]: load}
            warnings.append(f"{file} is named {unread[0]} now; so are its rows.")
        elif (
            namesakes
            or load.rejected_share > rejected_limit
            or (is_refreshed and table != "transactions")
        ):
            _withdraw(connection, table, file)
            warnings.append(f"{file} has gone; its rows were withdrawn from raw.{table}.")
        else:
            connection.execute(
                "update raw.loads set is_present = false where table_name = ? and source_file = ?",
                [table, file],
            )
            warnings.append(f"{file} has gone; its rows in raw.{table} are kept.")
    return warnings


def drop_covered_days(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the transactions that gone files have on days for which present files have some."""
    connection.execute(
        """
        create or replace temp table covered as
        with days as (
            select source_file, ordered_on, is_present
            from raw.load_days join raw.loads using (source_file)
            where table_name = 'transactions'
        )
        select source_file, ordered_on from days
        where
            not is_present
            and ordered_on in (select present.ordered_on from days as present where is_present)
        """
    )
    for table in ("transactions", *TABLES_OF_DAYS):
        connection.execute(
            f"delete from raw.{table} using covered "
            f"where {table}.source_file = covered.source_file "
            f"and {table}.ordered_on = covered.ordered_on"
        )
    connection.execute(
        """
        update raw.loads set row_count = coalesce(
            (select sum(row_count) from raw.load_days
             where load_days.source_file = loads.source_file), 0)
        where table_name = 'transactions' and not is_present
        """
    )
    emptied = connection.execute(
        "select source_file from raw.loads "
        "where table_name = 'transactions' and not is_present and row_count = 0"
    ).fetchall()
    for (file,) in emptied:
        _withdraw(connection, "transactions", file)


def settle_duplicates(
    connection: duckdb.DuckDBPyConnection, declared: TableSource, batch_id: str
) -> None:
    """List transactions whose declared key occurs twice, or mark all but the last as superseded.

    Later means a later version where `version_by` is declared, then a later file by name (see
    `by_name`), then a later row: it depends on no load's order.
    """
    connection.execute("delete from raw.duplicate_keys")
    connection.execute(
        """
        create or replace temp table repeated (
            source_file varchar, source_row bigint, transaction_id varchar, is_last boolean,
            is_last_of_file boolean
        )
        """
    )
    if declared.key:
        key = ", ".join(identifier(column) for column in declared.key)
        complete = " and ".join(f"{identifier(column)} is not null" for column in declared.key)
        if declared.duplicates == "block":
            # An excluded line does not count and repeats nothing; as the last one it does count:
            # an order that was cancelled since supersedes what it was.
            complete += f" and (excluded_reason is null or excluded_reason = {literal(SUPERSEDED)})"
        order = "place desc, source_row desc"
        versions = ""
        if declared.version_by:
            order = f"version desc nulls last, {order}"
            versions = "left join raw.line_versions using (source_file, source_row)"
        files = sorted(known_loads(connection, "transactions"), key=by_name)
        connection.execute(
            f"""
            insert into repeated
            select
                source_file, source_row, transaction_id,
                row_number() over (partition by {key} order by {order}) = 1,
                row_number() over (partition by {key}, source_file order by {order}) = 1
            from (
                from raw.transactions
                semi join (
                    select {key} from raw.transactions where {complete}
                    group by all having count(*) > 1
                ) using ({key})
                where {complete}
            )
            join (select unnest(?::varchar[]) as source_file, unnest(?::bigint[]) as place)
                using (source_file)
            {versions}
            """,
            [files, list(range(len(files)))],
        )
    if declared.duplicates == "block":
        connection.execute(
            "insert into raw.duplicate_keys "
            "select source_file, source_row, transaction_id from repeated order by all"
        )
        connection.execute("update repeated set is_last = true")
    # Rows that a former load marked are unmarked when nothing supersedes them any more.
    connection.execute(
        f"""
        create or replace temp table remarked as
        select source_file, source_row, ordered_on, not is_last as is_superseded
        from raw.transactions join repeated using (source_file, source_row)
        where not is_last and excluded_reason is null
        union all
        select source_file, source_row, ordered_on, false
        from raw.transactions
        anti join (from repeated where not is_last) using (source_file, source_row)
        where excluded_reason = {literal(SUPERSEDED)}
        """
    )
    connection.execute(
        f"""
        update raw.transactions
        set excluded_reason = case when is_superseded then {literal(SUPERSEDED)} end
        from remarked
        where
            transactions.source_file = remarked.source_file
            and transactions.source_row = remarked.source_row
        """
    )
    _report_superseded(connection, batch_id)
    # Days whose use has changed get this batch, so that what is built on them follows.
    connection.execute(
        f"""
        update raw.load_days
        set
            used_amount = changed.used_amount, used_row_count = changed.used_row_count,
            customerless_row_count = changed.customerless_row_count, batch_id = ?
        from (
            select
                source_file, ordered_on, {USED_AMOUNT} as used_amount,
                {USED_ROWS} as used_row_count, {CUSTOMERLESS_ROWS} as customerless_row_count
            from raw.transactions semi join remarked using (source_file, ordered_on)
            group by source_file, ordered_on
        ) as changed
        where
            load_days.source_file = changed.source_file
            and load_days.ordered_on = changed.ordered_on
        """,
        [batch_id],
    )


def by_name(file: str) -> tuple:
    """Return what files are ordered by: numbers in names by value, `9` before `10`.

    Without the ending, so that `export.csv` comes before `export (1).csv`.
    """
    path = PurePosixPath(file.removesuffix(".gz"))
    parts = re.split(r"([0-9]+)", str(path.with_suffix("")).casefold())
    # Texts and numbers take turns.
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], file


def _report_superseded(connection: duckdb.DuckDBPyConnection, batch_id: str) -> None:
    """Count, by file, the lines that a later line of the same file supersedes.

    A key that repeats within one file is often no key: lines of an order would be lost.
    """
    connection.execute("delete from raw.load_report where measure = ?", [SUPERSEDED_IN_FILE])
    connection.execute(
        """
        insert into raw.load_report
        select 'transactions', source_file, ?, 'superseded', count(*), sum(amount), ?
        from raw.transactions semi join (from repeated where not is_last_of_file)
            using (source_file, source_row)
        where excluded_reason = ?
        group by source_file
        order by source_file
        """,
        [SUPERSEDED_IN_FILE, batch_id, SUPERSEDED],
    )


def _withdraw(connection: duckdb.DuckDBPyConnection, table: str, file: str) -> None:
    """Remove a file's rows from a table and from the tables that count them."""
    connection.execute(f"delete from raw.{table} where source_file = ?", [file])
    for counted in TABLES_OF_FILES:
        connection.execute(
            f"delete from raw.{counted} where table_name = ? and source_file = ?", [table, file]
        )
    if table == "transactions":
        for daily in TABLES_OF_DAYS:
            connection.execute(f"delete from raw.{daily} where source_file = ?", [file])


def _rename(connection: duckdb.DuckDBPyConnection, table: str, file: str, name: str) -> None:
    """Give a file's rows its new name."""
    connection.execute(
        f"update raw.{table} set source_file = ? where source_file = ?", [name, file]
    )
    for counted in TABLES_OF_FILES:
        connection.execute(
            f"update raw.{counted} set source_file = ? where table_name = ? and source_file = ?",
            [name, table, file],
        )
    if table == "transactions":
        for daily in TABLES_OF_DAYS:
            connection.execute(
                f"update raw.{daily} set source_file = ? where source_file = ?", [name, file]
            )
