"""Connections to DuckDB files: bounded memory, a spill folder, patience with a dying writer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths, setting

# A killed run's dbt notices within a second that its parent is gone and gives the file back.
LOCK_PATIENCE_SECONDS = 20
MEMORY = Path(":memory:")


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
        WinbackError: another program holds the file open for writing.
    """
    database = database or paths.warehouse
    if not read_only and database != MEMORY and not database.exists():
        _create(database)
    paths.spill.mkdir(parents=True, exist_ok=True)
    connection = _open(database, engine_settings(paths), read_only)
    try:
        yield connection
    finally:
        connection.close()


def _create(database: Path) -> None:
    # DuckDB cannot reopen a file whose creation was cut short, so it appears whole.
    database.parent.mkdir(parents=True, exist_ok=True)
    scratch = database.with_name(f".{database.name}.new")
    scratch.unlink(missing_ok=True)
    duckdb.connect(str(scratch)).close()
    scratch.rename(database)


def _open(database: Path, config: dict[str, str], read_only: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return duckdb.connect(str(database), read_only=read_only, config=config)
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise WinbackError(
                    f"Another program keeps {database} open for writing; close it and run again. "
                    "To look into the warehouse, open it with read_only=True."
                ) from error
            time.sleep(0.2)


def literal(text: object) -> str:
    """Return a SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
