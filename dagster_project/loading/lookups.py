"""Lookups: small tables of a source whose columns are added to the rows of another by one key."""

import duckdb

from dagster_project.config.tables import FromLookup
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading.files import find_files
from dagster_project.loading.mapping import (
    TableMapping,
    lookup_column,
    lookup_key,
    lookup_table,
)
from dagster_project.loading.readers import (
    columns_of,
    drop_reader_tables,
    explained,
    readable_groups,
    records_sql,
)
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths


def load_lookup(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, paths: SourcePaths, name: str
) -> dict[str, str]:
    """Read a lookup into a temporary table with one row a key; return its columns' types.

    Raises:
        WinbackError: a file is missing, unreadable or unlike the others, or a key is repeated.
        ConfigurationError: a column that is asked for is absent.
    """
    lookup = mapping.declared.lookups[name]
    place = mapping.source.place("tables", mapping.table.name, "lookups", name)
    files = find_files(lookup.files, paths.landing)
    if not files:
        raise WinbackError(f"{place}: no file matches {', '.join(lookup.files)}.")
    group, *others = readable_groups(connection, files, lookup, recoded_folder(paths))
    file = group[0]
    if others:
        raise WinbackError(f"{place}: its files differ in their columns; give them the same.")
    fields = {
        column: (f"c{index}", file.column_types[index]) for index, column in enumerate(file.header)
    }
    wanted = dict.fromkeys(
        given.column
        for given in mapping.declared.columns.values()
        if isinstance(given, FromLookup) and given.lookup == name
    )
    for column in (lookup.key, *wanted):
        if column not in fields:
            raise ConfigurationError(
                f"{place}: {file.file.name} has no column {column}. {columns_of(file)} "
                "Correct the lookup or the file."
            )
        if file.header.count(column) > 1:
            raise ConfigurationError(
                f"{place}: {file.file.name} has several columns named {column}. "
                "Give each its own name."
            )
    target, key = lookup_table(mapping.table.name, name), lookup_key(name)
    columns = [f"{mapping.normal_key(lookup.match, *fields[lookup.key])} as {key}"]
    columns += [f"{fields[column][0]} as {lookup_column(name, column)}" for column in wanted]
    drop_reader_tables(connection)
    with explained(group):
        connection.execute(
            f"create or replace temp table {target} as select {', '.join(columns)} "
            f"from ({records_sql(group, lookup, 'rejects')})"
        )
    (repeated_count,) = connection.execute(
        f"select count(*) from (select {key} from {target} where {key} is not null "
        "group by all having count(*) > 1)"
    ).fetchone()
    if repeated_count:
        raise WinbackError(
            f"{place}: {repeated_count} values of {lookup.key} stand in several rows of "
            f"{file.file.name}, which would multiply rows. Keep one row for each."
        )
    return {lookup_column(name, column): fields[column][1] for column in wanted}
