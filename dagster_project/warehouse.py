"""Connections to DuckDB files: bounded memory, a spill folder, patience with other programs.

Belongs here: opening the files, and the few statements that several layers write alike. What
stands in the tables is known to the layers that fill them.
"""

import contextlib
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

from dagster_project.errors import (
    DAMAGED_IN_WORDS,
    WinbackError,
    first_line,
    in_words,
    without_values,
)
from dagster_project.files import appearing_whole
from dagster_project.interruption import ended_by_signals
from dagster_project.paths import SourcePaths, setting
from dagster_project.standing import what_stands

# Who looks into a file is soon gone; a killed program's lock goes with it.
LOCK_PATIENCE_SECONDS = 20
# For so long after a wait in vain the same process does not wait for the file again: a run's other
# steps would, one after the other.
WAITED_FOR_SECONDS = 600
MEMORY = Path(":memory:")
# How DuckDB begins to say so; it has no error of its own for it.
LOCKED = "Could not set lock on file"

# How it says that a block is not what was written, or not there; nor for that.
DAMAGED, CUT_OFF = "Corrupt database file", "Could not read enough bytes from file"
# How it fails over other content than it expects.
_CONTENT_ERRORS = (
    duckdb.IOException,
    duckdb.InternalException,
    duckdb.SerializationException,
    duckdb.FatalException,
)
# Where every DuckDB file has its name.
_MAGIC_PLACE, _MAGIC = 8, b"DUCK"

Opened = TypeVar("Opened")
LOG = logging.getLogger("winback.warehouse")
# When a wait for a file ended in vain, by its path.
_waited_at: dict[str, float] = {}


class DamagedDatabaseError(WinbackError):
    """A DuckDB file was opened, and a part of it cannot be read."""


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
        DamagedDatabaseError: a part of what was asked of it cannot be read.
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
    except duckdb.Error as error:
        _notice_damage(paths, error, _files_of(connection) or [database])
        raise
    finally:
        connection.close()


@contextmanager
def noticing_damage(paths: SourcePaths) -> Iterator[None]:
    """Let the next run look at the whole warehouse if a step that read it fails over a damage.

    Raises:
        DamagedDatabaseError: in place of such an error.
    """
    try:
        yield
    except (duckdb.Error, WinbackError) as error:
        _notice_damage(paths, error, [paths.warehouse])
        raise


def _notice_damage(paths: SourcePaths, error: Exception, files: Sequence[Path]) -> None:
    """Mark the warehouse for a closer look if an error can be that of a damage of it.

    Raises:
        DamagedDatabaseError: the error says that one of the files is damaged.
    """
    # Where dbt or a gate met it, its text is all that is left.
    text = "\n".join(_texts(error))
    # A file of the landing folder can be cut off, too.
    is_named = any(str(file) in text for file in files)
    is_damaged = DAMAGED in text or (is_named and CUT_OFF in text) or DAMAGED_IN_WORDS in text
    if paths.warehouse in files and (is_damaged or isinstance(error, _CONTENT_ERRORS[1:])):
        # The run's own error counts for more than the mark.
        with contextlib.suppress(OSError):
            paths.doubt.touch()
    if not is_damaged or isinstance(error, DamagedDatabaseError):
        return
    way_out = (
        " Run again: the next run looks at the whole warehouse and makes it anew from the files if "
        f"need be. If this is said again: `winback run --source {paths.source} "
        "--rebuild-warehouse`."
        if paths.warehouse in files
        else ""
    )
    raise DamagedDatabaseError(
        f"A part of {' or '.join(map(str, files))} is damaged. {what_stands(paths)}{way_out}"
    ) from error


def _files_of(connection: duckdb.DuckDBPyConnection) -> list[Path]:
    """Return the files that a connection has open, as far as it still tells."""
    try:
        found = connection.execute(
            "select path from duckdb_databases() where not internal and path is not null "
            "order by path"
        ).fetchall()
    except duckdb.Error:
        return []
    return [Path(path) for (path,) in found]


def _texts(error: BaseException | None) -> Iterator[str]:
    """Yield what an error says, and what those say that it was raised from."""
    while error is not None:
        yield str(error)
        error = error.__cause__


def fault(paths: SourcePaths, *, reads_all: bool = False) -> str | None:
    """Return in words why the warehouse's file is of no use; null if it is, or if there is none.

    Args:
        paths: Folders of the source.
        reads_all: Read every value, which takes a while, and do not only open the file.

    Raises:
        WinbackError: it cannot be told: another program holds it open, or nobody may read it.
    """
    file = paths.warehouse
    if not file.exists():
        return None
    if not file.is_file():
        return "is no file"
    start = _start(file)
    if start[_MAGIC_PLACE:] != _MAGIC:
        return "is no DuckDB file" if start else "is empty"
    is_short = False
    try:
        with connect(paths, read_only=True) as connection:
            is_short = not wal_of(file).exists() and _is_short(connection, file)
            if reads_all or is_short:
                read_all(connection)
    except (WinbackError, duckdb.Error) as error:
        cause = error.__cause__ if isinstance(error, WinbackError) else error
        if isinstance(cause, duckdb.Error) and _is_of_content(cause):
            if is_short:
                return "is cut off"
            said = first_line(str(cause)).rstrip(".")
            return f"cannot be read by DuckDB {duckdb.__version__}: {said}"
        if isinstance(error, WinbackError):
            raise
        raise WinbackError(f"{file} cannot be read: {first_line(str(error))}") from error
    return None


def _is_short(connection: duckdb.DuckDBPyConnection, file: Path) -> bool:
    """Return whether a file is shorter than its blocks.

    It may be cut off; or the last blocks were given to what was rolled back, and never written.
    """
    (size,) = connection.execute(
        "select block_size * total_blocks from pragma_database_size() "
        "where database_name = current_database()"
    ).fetchone()
    return file.stat().st_size < size


def read_all(connection: duckdb.DuckDBPyConnection) -> None:
    """Read every value of every table of the files that are open, to see that they can be."""
    tables = connection.execute(
        "select database_name, schema_name, table_name from duckdb_tables() where not internal"
    ).fetchall()
    for names in tables:
        table = ".".join(map(identifier, names))
        connection.execute(f"select bit_xor(hash(one)) from {table} as one").fetchone()


def _start(file: Path) -> bytes:
    """Return the start of a database's file, after seeing that the system lets it be read."""
    try:
        with contextlib.suppress(FileNotFoundError):
            wal_of(file).open("rb").close()
        with file.open("rb") as stream:
            return stream.read(_MAGIC_PLACE + len(_MAGIC))
    except OSError as error:
        words = in_words(type(error).__name__, str(error))
        raise WinbackError(
            words or f"{error.filename} cannot be read: {error.strerror}."
        ) from error


def _is_of_content(error: duckdb.Error) -> bool:
    # Of a damaged block DuckDB throws what no other error is.
    return type(error) is duckdb.Error or (
        isinstance(error, _CONTENT_ERRORS) and LOCKED not in str(error)
    )


def wal_of(database: Path) -> Path:
    """Return the file in which DuckDB keeps what it has not written into a database yet."""
    return database.with_name(f"{database.name}.wal")


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


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let all that is changed meanwhile be changed together, or nothing of it."""
    con.begin()
    try:
        yield
        con.commit()
    except BaseException:
        # A commit that fails, for want of room for instance, has ended the transaction already.
        with contextlib.suppress(duckdb.Error):
            con.rollback()
        raise


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
