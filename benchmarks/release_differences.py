"""What differs between two release files, found by DuckDB, in bounded memory.

Tables are compared row for row on the columns they share, exactly and without regard to the rows'
order; with them the tables and columns there are, types and comments. To say in which columns rows
differ, they are paired by the columns that name a row: those of the table's suite, else the fewest
first columns that are unique in both files. What a release cannot help changing is left out
(`VOLATILE_COLUMNS`).
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.gates import suites
from dagster_project.paths import setting
from dagster_project.warehouse import identifier, literal

# Ids, times and hashes that differ between any two releases.
VOLATILE_COLUMNS = {
    "releases": {
        "release_id",
        "built_at",
        "published_at",
        "code_version",
        "input_fingerprint",
        "settings_fingerprint",
    },
    "gate_results": {"release_id", "evaluated_at"},
}
VALUES = "values"
TABLE_ADDED, TABLE_REMOVED = "table added", "table removed"
COLUMN_ADDED, COLUMN_REMOVED, COLUMN_RETYPED = "column added", "column removed", "column retyped"
COMMENT, ROWS_ADDED, ROWS_REMOVED = "comment", "rows added", "rows removed"
CHANGES = (
    VALUES,
    ROWS_ADDED,
    ROWS_REMOVED,
    TABLE_ADDED,
    TABLE_REMOVED,
    COLUMN_ADDED,
    COLUMN_REMOVED,
    COLUMN_RETYPED,
    COMMENT,
)
EXAMPLE_COUNT = 3


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        table: Where.
        change: One of `CHANGES`.
        column: Where in the table; None if it concerns the table or whole rows.
        row_count: Rows that differ, are added or removed; None where rows are not the matter.
        greatest: Greatest absolute difference of numbers; None if there is none to tell.
        greatest_share: Greatest difference relative to the larger of the two numbers.
        null_count: Rows whose value is null in one of the files only.
        detail: In words: types, comments or a few rows.
    """

    table: str
    change: str
    column: str | None = None
    row_count: int | None = None
    greatest: float | None = None
    greatest_share: float | None = None
    null_count: int = 0
    detail: str = ""

    def __str__(self) -> str:
        where = self.table if self.column is None else f"{self.table}.{self.column}"
        parts = [f"{where}: {self.change}"]
        if self.row_count is not None:
            parts.append(f"{self.row_count:,} rows")
        if self.greatest is not None:
            parts.append(f"at most {self.greatest:g} ({self.greatest_share:.3g} of the value)")
        if self.null_count:
            parts.append(f"{self.null_count:,} of them null in one file")
        return ", ".join(parts) + (f"; {self.detail}" if self.detail else "")


@dataclass
class TableComparison:
    """A table that both files have.

    `only_before` and `only_after` count rows without an equal in the other file, duplicates as
    often as they are too many.
    """

    table: str
    rows_before: int
    rows_after: int
    only_before: int
    only_after: int
    differences: list[Difference] = field(default_factory=list)


def compare(
    before: Path, after: Path, renamed: Mapping[str, Any] | None = None
) -> tuple[list[TableComparison], list[Difference]]:
    """Compare two release files; return the tables that both have, and all differences.

    With `renamed`, what `docs/renamed.yml` holds, the former file is compared under the new names.
    """
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        if renamed:
            copy = Path(spill) / "renamed.duckdb"
            shutil.copyfile(before, copy)
            _rename(copy, renamed)
            before = copy
        connection.execute(f"set memory_limit = {literal(setting('WINBACK_MEMORY_LIMIT', '60%'))}")
        connection.execute(f"set temp_directory = {literal(spill)}")
        for name, file in (("before", before), ("after", after)):
            connection.execute(f"attach {literal(file.resolve())} as {name} (read_only)")
        old, new = _tables(connection, "before"), _tables(connection, "after")
        differences = [Difference(table, TABLE_REMOVED) for table in old if table not in new]
        differences += [Difference(table, TABLE_ADDED) for table in new if table not in old]
        compared = [
            _compare_table(connection, table, old[table], new[table])
            for table in old
            if table in new
        ]
    return compared, differences + [one for table in compared for one in table.differences]


def _rename(release: Path, renamed: Mapping[str, Any]) -> None:
    """Give tables, columns and values of a release their new names, where it has the old ones."""
    with duckdb.connect(str(release)) as connection:
        found = set(
            connection.execute("select table_name, column_name from duckdb_columns()").fetchall()
        )
        for table, columns in renamed["columns"].items():
            for old, new in columns.items():
                if (table, old) in found:
                    connection.execute(f"alter table {table} rename {old} to {new}")
        for column, values in renamed["values"].items():
            for table in sorted(table for table, name in found if name == column):
                for old, new in values.items():
                    connection.execute(
                        f"update {table} set {column} = ? where {column} = ?", [new, old]
                    )
        for old, new in renamed["tables"].items():
            if any(table == old for table, _ in found):
                connection.execute(f"alter table {old} rename to {new}")


@dataclass(frozen=True)
class _Column:
    type: str
    comment: str | None


@dataclass(frozen=True)
class _Table:
    comment: str | None
    columns: Mapping[str, _Column]


def _tables(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, _Table]:
    tables = connection.execute(
        "select table_name, comment from duckdb_tables() where database_name = ? "
        "and schema_name = 'main' order by table_name",
        [database],
    ).fetchall()
    columns: dict[str, dict[str, _Column]] = {table: {} for table, _ in tables}
    for table, column, type_, comment in connection.execute(
        "select table_name, column_name, data_type, comment from duckdb_columns() "
        "where database_name = ? and schema_name = 'main' order by table_name, column_index",
        [database],
    ).fetchall():
        columns[table][column] = _Column(type_, comment)
    return {table: _Table(comment, columns[table]) for table, comment in tables}


def _compare_table(
    connection: duckdb.DuckDBPyConnection, table: str, old: _Table, new: _Table
) -> TableComparison:
    shared = [
        column
        for column in old.columns
        if column in new.columns and column not in VOLATILE_COLUMNS.get(table, ())
    ]
    # What is read of each column: types that cannot be compared are compared as text.
    readings = {
        column: _reading(column, old.columns[column].type, new.columns[column].type)
        for column in shared
    }
    select = ", ".join(f"{reading} as {identifier(name)}" for name, reading in readings.items())
    before, after = (
        f"(select {select or 'null as nothing'} from {database}.main.{identifier(table)})"
        for database in ("before", "after")
    )

    def count(query: str) -> int:
        return connection.execute(f"select count(*) from {query}").fetchone()[0]

    result = TableComparison(
        table,
        count(before),
        count(after),
        count(f"(from {before} except all from {after})"),
        count(f"(from {after} except all from {before})"),
        _structural(table, old, new),
    )
    if result.only_before or result.only_after:
        key = _key(connection, table, shared, before, after)
        if key is None:
            removed, added = result.only_before, result.only_after
        else:
            result.differences += _paired(connection, table, key, shared, before, after)
            names = ", ".join(map(identifier, key))
            removed, added = (
                count(f"(select {names} from {one} except all select {names} from {other})")
                for one, other in ((before, after), (after, before))
            )
        if removed:
            result.differences.append(Difference(table, ROWS_REMOVED, row_count=removed))
        if added:
            result.differences.append(Difference(table, ROWS_ADDED, row_count=added))
    return result


def _structural(table: str, old: _Table, new: _Table) -> list[Difference]:
    """Return what differs in columns, types and comments."""
    differences = [
        Difference(table, COLUMN_REMOVED, one) for one in old.columns.keys() - new.columns
    ]
    differences += [
        Difference(table, COLUMN_ADDED, one) for one in new.columns.keys() - old.columns
    ]
    if old.comment != new.comment:
        detail = f"{old.comment!r} became {new.comment!r}"
        differences.append(Difference(table, COMMENT, detail=detail))
    for name in old.columns.keys() & new.columns.keys():
        one, other = old.columns[name], new.columns[name]
        if one.type != other.type:
            detail = f"{one.type} became {other.type}"
            differences.append(Difference(table, COLUMN_RETYPED, name, detail=detail))
        if one.comment != other.comment:
            detail = f"{one.comment!r} became {other.comment!r}"
            differences.append(Difference(table, COMMENT, name, detail=detail))
    return sorted(differences, key=lambda one: (one.change, one.column or ""))


def _reading(column: str, old_type: str, new_type: str) -> str:
    is_comparable = old_type == new_type or (_is_number(old_type) and _is_number(new_type))
    return identifier(column) if is_comparable else f"{identifier(column)}::varchar"


def _is_number(type_: str) -> bool:
    return type_.split("(")[0] in {
        *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
        *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
        *("FLOAT", "DOUBLE", "DECIMAL"),
    } and not type_.endswith("]")


def _key(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    before: str,
    after: str,
) -> Sequence[str] | None:
    """Return the columns by which rows are paired, None if no columns name a row in both files."""
    candidates = [columns[: i + 1] for i in range(len(columns))]
    if table in suites.suite_tables("release"):
        candidates.insert(0, suites.read_suite("release", table)["meta"]["id_columns"])
    for candidate in candidates:
        if not set(candidate) <= set(columns):
            continue
        names = ", ".join(map(identifier, candidate))
        is_unique = all(
            connection.execute(
                f"select count(*) = (select count(*) from (select distinct {names} from {rows})) "
                f"from {rows}"
            ).fetchone()[0]
            for rows in (before, after)
        )
        if is_unique:
            return candidate
    return None


def _paired(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: Sequence[str],
    columns: Sequence[str],
    before: str,
    after: str,
) -> list[Difference]:
    """Return the columns that differ between rows of the same name."""
    compared = [column for column in columns if column not in key]
    if not compared:
        return []
    types = dict(
        connection.execute(
            f"select column_name, column_type from (describe from {before})"
        ).fetchall()
    )
    same = " and ".join(f"b.{name} is not distinct from a.{name}" for name in map(identifier, key))
    joined = f"{before} as b inner join {after} as a on {same}"
    figures = []
    for column in compared:
        name = identifier(column)
        figures.append(f"count(*) filter (b.{name} is distinct from a.{name})")
        figures.append(f"count(*) filter ((b.{name} is null) <> (a.{name} is null))")
        if _is_number(types[column]):
            # Exact but for floats, which have no other arithmetic.
            gap = f"abs({_wide(f'b.{name}', types[column])} - {_wide(f'a.{name}', types[column])})"
            larger = f"greatest(abs(b.{name}::double), abs(a.{name}::double))"
            where = f"filter (b.{name} is distinct from a.{name})"
            figures += [
                f"max({gap}::double) {where}",
                f"max({gap}::double / nullif({larger}, 0)) {where}",
            ]
        else:
            figures += ["null", "null"]
    row = connection.execute(f"select {', '.join(figures)} from {joined}").fetchone()
    return [
        Difference(
            table,
            VALUES,
            column,
            row_count,
            greatest,
            greatest_share,
            null_count,
            _examples(connection, key, column, joined),
        )
        for column, row_count, null_count, greatest, greatest_share in zip(
            compared, row[::4], row[1::4], row[2::4], row[3::4], strict=True
        )
        if row_count
    ]


def _wide(reading: str, type_: str) -> str:
    """Return SQL of a number in a type whose differences do not overflow."""
    if type_.startswith("DECIMAL"):
        scale = type_.rstrip(")").split(",")[1]
        return f"{reading}::decimal(38, {scale})"
    return reading if type_ in ("FLOAT", "DOUBLE") else f"{reading}::hugeint"


def _examples(
    connection: duckdb.DuckDBPyConnection, key: Sequence[str], column: str, joined: str
) -> str:
    """Return a few rows in words, the first by their names."""
    name, keys = identifier(column), [f"b.{one}" for one in map(identifier, key)]
    rows = connection.execute(
        f"select concat_ws(':', {', '.join(keys)}), b.{name}, a.{name} from {joined} "
        f"where b.{name} is distinct from a.{name} order by {', '.join(keys)} "
        f"limit {EXAMPLE_COUNT}"
    ).fetchall()
    return ", ".join(f"{row}: {before} → {after}" for row, before, after in rows)
