"""A release's tables: their comments, their Parquet copies and what the manifest says of them.

Works on a connection that has the candidate's file attached as `release`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.warehouse import identifier, literal, rows


@dataclass(frozen=True)
class PublishedTable:
    """A table of the release: its comments, and a unique order that makes the file reproducible."""

    name: str
    description: str
    columns: Mapping[str, str]
    order_by: Sequence[str]


def copy_table(con: duckdb.DuckDBPyConnection, folder: Path, table: PublishedTable) -> None:
    """Copy a mart of the warehouse attached as `warehouse` into the release, and finish it."""
    order = ", ".join(identifier(column) for column in table.order_by)
    con.execute(
        f"create table release.main.{identifier(table.name)} as "
        f"select * from warehouse.marts.{identifier(table.name)} order by {order}"
    )
    finish_table(con, folder, table)


def finish_table(con: duckdb.DuckDBPyConnection, folder: Path, table: PublishedTable) -> None:
    """Add the comments to a table of the attached release and write its Parquet copy.

    Raises:
        WinbackError: A column is not described, or a described one is absent.
    """
    name = f"release.main.{identifier(table.name)}"
    columns = {row[0] for row in con.execute(f"describe {name}").fetchall()}
    if columns != set(table.columns):
        raise WinbackError(
            f"published table {table.name}: these columns are described but absent, or present "
            f"but not described: {', '.join(sorted(columns ^ set(table.columns)))}"
        )
    con.execute(f"comment on table {name} is {literal(table.description)}")
    for column, description in table.columns.items():
        con.execute(f"comment on column {name}.{identifier(column)} is {literal(description)}")
    con.execute(
        f"copy {name} to {literal(folder / 'parquet' / f'{table.name}.parquet')} "
        "(format parquet, compression zstd)"
    )


def describe_tables(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return name, description, row count and columns of every table of the attached release."""
    tables = rows(
        con,
        "select table_name as name, comment as description from duckdb_tables() "
        "where database_name = 'release' order by table_name",
    )
    for table in tables:
        table["row_count"] = count_rows(con, table["name"])
        table["columns"] = rows(
            con,
            "select column_name as name, data_type as type, comment as description "
            "from duckdb_columns() where database_name = 'release' and table_name = ? "
            "order by column_index",
            [table["name"]],
        )
    return tables


def count_rows(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Return the rows of a table of the attached release."""
    return con.execute(f"select count(*) from release.main.{identifier(table)}").fetchone()[0]
