"""Connections to DuckDB files: bounded memory, a spill folder, patience with other programs.

Belongs here: opening the files, and the few statements that several layers write alike. What
stands in the tables is known to the layers that fill them.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from dagster_project.errors import WinbackError, in_words, without_values
from dagster_project.files import appearing_whole
from dagster_project.interruption import ended_by_signals
from dagster_project.paths import SourcePaths, setting

# Who looks into a file is soon gone; a killed program's lock goes with it.
LOCK_PATIENCE_SECONDS = 20
# For so long after a wait in vain the same process does not wait for the file again: a run's other
# steps would, one after the other.
WAITED_FOR_SECONDS = 600
MEMORY = Path(":memory:")
# How DuckDB begins to say so; it has no error of its own for it.
LOCKED = "Could not set lock on file"

Opened = TypeVar("Opened")
LOG = logging.getLogger("winback.warehouse")
# When a wait for a file ended in vain, by its path.
_waited_at: dict[str, float] = {}


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
        with ended_by_signals(connection):
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
    """Open a file, waiting a while if another program has it open: once, and not in each step."""
    file = str(database)
    started = time.monotonic()
    has_waited = started - _waited_at.get(file, -math.inf) < WAITED_FOR_SECONDS
    deadline = started if has_waited else started + LOCK_PATIENCE_SECONDS
    is_told = has_waited
    while True:
        try:
            opened = open_()
        except duckdb.Error as error:
            if LOCKED not in str(error):
                raise WinbackError(_cannot_open(database, error)) from error
            holder = _holder(str(error))
            if time.monotonic() >= deadline:
                _waited_at[file] = time.monotonic()
                raise WinbackError(_kept(database, holder, read_only)) from error
            if not is_told:
                is_told = True
                LOG.warning(
                    f"{database.name} is open in {holder}; waiting for it, {LOCK_PATIENCE_SECONDS} "
                    "seconds at the most."
                )
            time.sleep(0.1)
        else:
            _waited_at.pop(file, None)
            return opened


def _holder(text: str) -> str:
    """Return which program holds a file, as far as DuckDB knows it."""
    found = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another program"


def _kept(database: Path, holder: str, read_only: bool) -> str:
    # Who reads is kept out only by a writer; who writes, by readers too.
    how = " for writing" if read_only else ""
    return (
        f"{database} is open{how} in {holder}. Close it there, or end that process, and run again. "
        "To look into it, open it with read_only=True, and close it before the next run; the "
        "published file never stops a run."
    )


def _cannot_open(database: Path, error: duckdb.Error) -> str:
    kind, text = type(error).__name__, str(error)
    return f"cannot open {database}: {in_words(kind, text) or without_values(kind, text)}"


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
