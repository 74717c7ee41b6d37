"""Connections to DuckDB files: bounded memory, a spill folder, patience with other programs.

Belongs here: opening the files, and the few statements that several layers write alike. What
stands in the tables is known to the layers that fill them.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.files import appearing_whole
from dagster_project.paths import SourcePaths, setting

# Who looks into a file is soon gone; a killed program's lock goes with it.
LOCK_PATIENCE_SECONDS = 20
MEMORY = Path(":memory:")
# How DuckDB begins to say so; it has no error of its own for it.
LOCKED = "Could not set lock on file"

Opened = TypeVar("Opened")


def engine_settings(paths: SourcePaths) -> dict[str, str]:
    """Return the DuckDB settings that bound memory and name the spill folder."""
    return {
        "memory_limit": setting("WINBACK_MEMORY_LIMIT", "60%"),
        "temp_directory": str(paths.spill),
    }


@contextmanager
def connect(
    paths: SourcePaths, database: Path | None = None, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse (or another file of the source, or `MEMORY`) and close it again.

    Raises:
        WinbackError: another program holds the file open, or it cannot be opened at all.
    """
    database = database or paths.warehouse
    if not read_only and database != MEMORY and not database.exists():
        create(database)
    paths.spill.mkdir(parents=True, exist_ok=True)
    config = engine_settings(paths)
    connection = _patiently(
        lambda: duckdb.connect(str(database), read_only=read_only, config=config),
        database,
        read_only,
    )
    try:
        yield connection
    finally:
        connection.close()


def create(database: Path) -> None:
    """Create an empty DuckDB file; one whose creation was cut short could never be opened again."""
    with appearing_whole(database) as temporary:
        duckdb.connect(str(temporary)).close()


def attach(
    con: duckdb.DuckDBPyConnection,
    database: Path,
    name: str,
    *,
    read_only: bool = False,
    storage_version: str | None = None,
) -> None:
    """Attach another DuckDB file to a connection.

    Raises:
        WinbackError: another program holds the file open, or it cannot be opened at all.
    """
    options = ["read_only"] if read_only else []
    if storage_version:
        options.append(f"storage_version {literal(storage_version)}")
    statement = f"attach {literal(database)} as {name}"
    if options:
        statement += f" ({', '.join(options)})"
    _patiently(lambda: con.execute(statement), database, read_only)


def _patiently(open_: Callable[[], Opened], database: Path, read_only: bool) -> Opened:
    """Open a file, waiting a while if another program has it open."""
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return open_()
        except duckdb.IOException as error:
            if LOCKED not in str(error):
                raise WinbackError(f"cannot open {database}: {error}") from error
            if time.monotonic() > deadline:
                raise WinbackError(_kept(database, read_only)) from error
            time.sleep(0.1)


def _kept(database: Path, read_only: bool) -> str:
    # Who reads is kept out only by a writer; who writes, by readers too.
    if read_only:
        return (
            f"Another program keeps {database} open for writing; close it and run again. To look "
            "into the file, open it with read_only=True."
        )
    return f"{database} is open in another program; close it there and run again."


def create_table(con: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str]) -> None:
    """Create a table if it is not there yet; `types` by column."""
    columns = ", ".join(f"{column} {type_}" for column, type_ in types.items())
    con.execute(f"create table if not exists {name} ({columns})")


def insert(con: duckdb.DuckDBPyConnection, name: str, row: Mapping[str, Any]) -> None:
    """Insert one row, given by column."""
    marks = ", ".join("?" for _ in row)
    con.execute(f"insert into {name} ({', '.join(row)}) values ({marks})", list(row.values()))


def rows(
    con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Return what a query gives, each row by column."""
    cursor = con.execute(query, list(parameters))
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def utc_now() -> datetime:
    """Return the moment as the tables keep it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def literal(text: object) -> str:
    """Return a SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
