"""What stands in the columns that rules look at, so that who writes rules sees the spellings.

The files are read as a load would read them, but without a warehouse, and nothing is left behind.
A column that could tell who a customer is is not listed; see `_hidden` and `COMMON_VALUES`.
"""

import secrets
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from dagster_project.config import canonical
from dagster_project.config.expressions import named_columns
from dagster_project.config.source import Source
from dagster_project.config.tables import FromColumn, FromSql, TableSource
from dagster_project.errors import WinbackError
from dagster_project.loading.contacts import holds_contact
from dagster_project.loading.files import find_files
from dagster_project.loading.lookups import load_lookup
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.readers import explained, readable_groups
from dagster_project.loading.rules import seen_as_text
from dagster_project.loading.staging import rows_sql
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import engine_settings, identifier, literal

LISTED_VALUES = 20
# Where a column has more values than these and most are of one customer each, they may be names.
COMMON_VALUES = 20
_PERSONAL = canonical.PERSON_IDS | {"email", "phone", "wechat_id"}


@dataclass(frozen=True)
class ComparedColumn:
    """The most frequent values of a column with their lines, and how many more values it has.

    `hidden` tells why none is listed. A null value is a line without one.
    """

    name: str
    values: tuple[tuple[str | None, int], ...] = ()
    more_count: int = 0
    hidden: str | None = None


def compared_columns(source: Source, paths: SourcePaths) -> list[ComparedColumn]:
    """Return the columns of transactions that rules look at as text, with what is in the files.

    Raises:
        WinbackError: a file is missing or cannot be read.
        ConfigurationError: a mapped column is absent.
    """
    declared = source.tables["transactions"]
    looked_at = [name for rule in (*declared.exclude, *declared.line_type)
                 for name in named_columns(rule.when)]  # fmt: skip
    texts = seen_as_text(canonical.TRANSACTIONS, declared)
    names = sorted({name for name in texts if name.lower() in looked_at})
    hidden = {name for name in names if name.lower() in _hidden(source, declared)}
    listed = [name for name in names if name not in hidden]
    with tempfile.TemporaryDirectory() as folder:
        apart = _Apart(paths.data_dir, paths.source, Path(folder))
        with duckdb.connect(config=engine_settings(apart)) as connection:
            if listed:
                _count(connection, source, apart, listed)
            return [
                ComparedColumn(name, hidden="it names a person or how to reach one")
                if name in hidden
                else _column(connection, name, listed.index(name))
                for name in names
            ]


@dataclass(frozen=True)
class _Apart(SourcePaths):
    """The paths of a source with a spill folder of its own: a run may be using the source's."""

    folder: Path

    @property
    def spill(self) -> Path:
        """Folder of spilt and re-coded files."""
        return self.folder


@dataclass(frozen=True)
class _Looked(TableMapping):
    """A mapping whose rows have, beside the canonical columns, what rules see of some."""

    looked_at: tuple[str, ...] = ()

    @property
    def version(self) -> dict[str, str]:
        """SQL by name of the columns; no `version_by` is needed here."""
        return {_seen(number): identifier(name) for number, name in enumerate(self.looked_at)}


def _seen(number: int) -> str:
    return f"seen_{number}"


def _hidden(source: Source, declared: TableSource) -> set[str]:
    """Return the columns and inputs, in lower case, that name a person or hold an address.

    Those are the canonical ones, whatever is read from the same columns of a file as these are in
    any table, and what is computed from them.
    """
    fields = {
        column
        for table in source.tables.values()
        for name, mapping in table.columns.items()
        if name in _PERSONAL and isinstance(mapping, FromColumn)
        for column in mapping.column
    }
    read_from = {name: given.column for name, given in declared.inputs.items()} | {
        name: mapping.column
        for name, mapping in declared.columns.items()
        if isinstance(mapping, FromColumn)
    }
    hidden = _PERSONAL | {name.lower() for name, given in read_from.items() if fields & {*given}}
    for name, mapping in declared.columns.items():
        # What is computed sees what is mapped by name, never what is computed.
        if isinstance(mapping, FromSql) and named_columns(mapping.sql) & hidden:
            hidden = hidden | {name}
    return set(hidden)


def _prepare(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: SourcePaths, names: list[str]
) -> _Looked:
    """Set up what the SQL of the rows relies on, as `staging.session` does for a load."""
    declared = source.tables["transactions"]
    mapping = _Looked(source, canonical.TRANSACTIONS, declared, looked_at=tuple(names))
    connection.execute(f"set TimeZone = {literal(mapping.zone)}")
    # A key of this look alone: no id leaves it.
    connection.execute("set variable pseudonym_key = ?", [secrets.token_hex(8)])
    types: dict[str, str] = {}
    for lookup in declared.lookups:
        types |= load_lookup(connection, mapping, paths, lookup)
    return replace(mapping, lookup_types=types)


def _count(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: SourcePaths, names: list[str]
) -> None:
    """Count the lines of the files by what stands in the columns, into the table `seen`."""
    declared = source.tables["transactions"]
    files = find_files(declared.files, paths.landing)
    if not files:
        raise WinbackError(f"no file matches {', '.join(declared.files)} yet")
    seen = [_seen(number) for number in range(len(names))]
    types = ", ".join(f"{name} varchar" for name in seen)
    connection.execute(
        f"create temp table seen ({types}, line_count bigint, first varchar, last varchar)"
    )
    mapping = _prepare(connection, source, paths, names)
    for group in readable_groups(connection, files, declared, recoded_folder(paths)):
        if not group[0].line_count:
            continue
        rows = rows_sql(connection, mapping, group)
        with explained(group):
            connection.execute(
                f"insert into seen select {', '.join(seen)}, count(*), min(customer_id), "
                f"max(customer_id) from ({rows}) group by all"
            )


def _column(connection: duckdb.DuckDBPyConnection, name: str, number: int) -> ComparedColumn:
    value_count, shared_count, contact_count = connection.execute(
        f"""
        with counted as (
            select {_seen(number)} as value, min(first) < max(last) as is_shared
            from seen group by 1
        )
        select count(*), count(*) filter (is_shared), count(*) filter ({holds_contact("value")})
        from counted where value is not null
        """
    ).fetchone()
    if contact_count:
        return ComparedColumn(name, hidden=f"{contact_count:,} of its values look like a contact")
    if value_count > COMMON_VALUES and 2 * shared_count < value_count:
        return ComparedColumn(
            name, hidden=f"most of its {value_count:,} values are of one customer alone"
        )
    values = connection.execute(
        f"select {_seen(number)}, sum(line_count)::bigint as lines from seen group by 1 "
        f"order by lines desc, 1 nulls last limit {LISTED_VALUES}"
    ).fetchall()
    listed = sum(value is not None for value, _ in values)
    return ComparedColumn(name, tuple(values), value_count - listed)
