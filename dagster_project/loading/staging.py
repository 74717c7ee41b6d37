"""Files with one header, staged: their typed rows as one relation, in the order of the records.

A session sets up what the SQL of the rows relies on; `stage` makes the relation `staged` of it and
the temporary table `read_files`, one row a file.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.errors import WinbackError
from dagster_project.loading.files import PresentFile
from dagster_project.loading.load_report import listed_values
from dagster_project.loading.lookups import load_lookup
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.readers import (
    ReadableFile,
    drop_reader_tables,
    explained,
    records_sql,
)
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import literal


@dataclass(frozen=True)
class StagedFile:
    """A staged file: how many records it has, and the staged number of the first."""

    readable: ReadableFile
    present: PresentFile
    record_count: int
    first_record: int

    @property
    def name(self) -> str:
        """Name of the file; see `SourceFile`."""
        return self.readable.file.name

    @property
    def path(self) -> Path:
        """Where it was read, which is what `file_path` holds."""
        return self.readable.path


@dataclass(frozen=True)
class Staged:
    """What `stage` has made of files with one header.

    `record` is SQL for the number of a staged record. Records that are streamed were not read yet:
    `staged` is a view of the files, which can be read again and are numbered.
    """

    files: tuple[StagedFile, ...]
    record: str
    is_streamed: bool

    @property
    def readable(self) -> list[ReadableFile]:
        """The files as DuckDB reads them."""
        return [file.readable for file in self.files]

    @property
    def line_count(self) -> int:
        """Lines or rows of all files, without headers."""
        return sum(file.readable.line_count for file in self.files)


@contextmanager
def session(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    paths: SourcePaths,
    table: str,
    *,
    key: str = "",
) -> Iterator[TableMapping]:
    """Set up what a table's SQL relies on: time zone, key and lookups; clean up afterwards.

    Whoever keeps no id needs no key of pseudonyms.
    """
    mapping = TableMapping(
        source, canonical.TABLES[table], source.tables[table], listed=listed_values(connection)
    )
    connection.execute(f"set TimeZone = {literal(mapping.zone)}")
    # A rule's longer `in (…)` would become a join, which loses the order of the lines.
    connection.execute("set disabled_optimizers = 'in_clause'")
    connection.execute("set variable pseudonym_key = ?", [key])
    try:
        types: dict[str, str] = {}
        for lookup in mapping.declared.lookups:
            types |= load_lookup(connection, mapping, paths, lookup)
        yield replace(mapping, lookup_types=types)
    finally:
        connection.execute("reset disabled_optimizers")
        # Re-coded copies hold what the files hold.
        shutil.rmtree(recoded_folder(paths), ignore_errors=True)


def rows_sql(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, group: list[ReadableFile]
) -> str:
    """Return the SQL of the typed rows of files with one header, to be run once."""
    drop_reader_tables(connection)
    numbered = bool(mapping.declared.unpivot)
    records = records_sql(group, mapping.declared, "rejects", numbered=numbered)
    return mapping.select(records, group[0])


def stage(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    group: Sequence[tuple[ReadableFile, PresentFile]],
) -> Staged:
    """Stage files with one header.

    Raises:
        WinbackError: a file cannot be read.
        ConfigurationError: the files lack a mapped column, or have it twice.
    """
    readable = [file for file, _ in group]
    first = readable[0]
    is_streamed = (
        first.format == "parquet" and first.line_count > 0 and not mapping.declared.unpivot
    )
    # Reading in parallel keeps the order, so the place in the table is the number.
    is_numbered = first.format == "parquet" or mapping.declared.unpivot
    record = "record_number" if is_numbered else "staged.rowid"
    _create(connection, mapping, readable, "view" if is_streamed else "table")
    if is_streamed:
        ranges = {str(file.path): (file.line_count, 1) for file in readable}
    else:
        ranges = _ranges(connection, mapping, first, record)
    files = tuple(
        StagedFile(file, present, *ranges.get(str(file.path), (0, 1))) for file, present in group
    )
    connection.execute(
        "create or replace temp table read_files (file_path varchar, source_file varchar, "
        "file_hash varchar, load_key varchar, line_count bigint, first_record bigint, "
        "break_count bigint, blank_count bigint)"
    )
    for file in files:
        connection.execute(
            "insert into read_files (file_path, source_file, file_hash, load_key, line_count, "
            "first_record) values (?, ?, ?, ?, ?, ?)",
            [
                str(file.path),
                file.name,
                file.present.content_hash,
                file.present.load_key,
                file.readable.line_count,
                file.first_record,
            ],
        )
    return Staged(files, record, is_streamed)


def unstage(connection: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Drop the relation `staged`."""
    connection.execute(f"drop {'view' if staged.is_streamed else 'table'} staged")


def _create(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    group: list[ReadableFile],
    kind: str,
) -> None:
    """Type the records: into a table that holds them in the order of the files, or a view."""
    if group[0].line_count:
        select = rows_sql(connection, mapping, group)
    else:
        drop_reader_tables(connection)
        select = mapping.select_nothing()
    with explained(group):
        connection.execute(f"create temp {kind} staged as {select}")


def _ranges(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, first: ReadableFile, record: str
) -> dict[str, tuple[int, int]]:
    """Return, by path, how many records were staged and the number of the first."""
    # An unpivoted record has several rows.
    count = f"distinct {record}" if mapping.declared.unpivot else "*"
    rows = connection.execute(
        f"select file_path, count({count}), min({record}), max({record}) from staged "
        "group by file_path"
    ).fetchall()
    is_parquet = first.format == "parquet"
    for path, count, first_record, last_record in rows:
        if not is_parquet and last_record - first_record + 1 != count:
            raise WinbackError(f"{Path(path).name}: its rows came out of order; run again.")
    return {path: (count, 1 if is_parquet else number) for path, count, number, _ in rows}
