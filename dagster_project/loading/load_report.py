"""What a load found in a file beside its rows, counted: `raw.load_report`.

Grain: one row per table, file, measure and item. A file's counts are replaced with its rows and
are of the whole file, whatever days were asked for, so that a warning lasts as long as its cause.
The raw gate judges them, the load's metadata and the terminal show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.rules import compared, seen_as_text
from dagster_project.warehouse import literal


@dataclass(frozen=True)
class Measure:
    """Something counted: `item` and `condition` are SQL over `tally`.

    `known` items are reported of every file, if only to say that no line is one.

    `tally` has a row per file and combination of the marks (see `TableMapping.marks`), with
    `is_rejected`, `row_count` and `amount` (of transactions, else null).
    """

    name: str
    item: str
    condition: str = "true"
    known: tuple[str, ...] = ()


def measures(mapping: TableMapping) -> list[Measure]:
    """Return what is counted of a table's files."""
    counted = [
        Measure(note.measure, literal(note.column), f"id_notes & {1 << bit} > 0")
        for bit, note in enumerate(mapping.ids.notes())
    ]
    if mapping.ids.has_no_customers:
        counted += [Measure(one, one) for one in ("no_customer", "kept_no_customer")]
    if mapping.table.name != "transactions":
        return counted
    declared = mapping.declared
    spelt = compared(declared, seen_as_text(mapping.table, declared))
    used = "not is_rejected and excluded_rule is null"
    return [
        *counted,
        *_rules("exclude", [rule.reason for rule in declared.exclude], "excluded_rule"),
        *_rules("line_type", [rule.type for rule in declared.line_type], "line_type_rule"),
        Measure("return_sign", "return_sign", used),
        *(
            Measure("spelling", f"{literal(column)} || ' is ''' || spelling_{number} || ''''")
            for number, column in enumerate(spelt, 1)
        ),
    ]


def replace_report(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, batch_id: str
) -> None:
    """Replace the counts of the files in `read_files` by those of `staged`; see `_Load`."""
    table = mapping.table.name
    connection.execute(
        f"delete from raw.load_report where table_name = {literal(table)} "
        "and source_file in (select source_file from read_files)"
    )
    counted = measures(mapping)
    if not counted:
        return
    # Where none was rejected, streamed records need not be typed again to know it.
    (has_rejected,) = connection.execute("select count(*) > 0 from rejected").fetchone()
    is_rejected = "reject_reason is not null" if has_rejected else "false"
    amount = "sum(amount)" if table == "transactions" else "null::decimal(38, 2)"
    connection.execute(
        f"""
        create or replace temp table tally as
        select
            file_path, {is_rejected} as is_rejected, {", ".join(mapping.marks)},
            count(*) as row_count, {amount} as amount
        from staged
        group by file_path, is_rejected, {", ".join(mapping.marks)}
        """
    )
    for measure in counted:
        connection.execute(
            f"""
            insert into raw.load_report
            select
                {literal(table)}, source_file, {literal(measure.name)}, item,
                sum(row_count), sum(amount), ?
            from (
                select file_path, {measure.item} as item, row_count, amount from tally
                where {measure.condition}
                union all
                select file_path, unnest(?::varchar[]), 0, null from read_files
            )
            join read_files using (file_path)
            group by source_file, item having item is not null
            order by source_file, item
            """,
            [batch_id, list(measure.known)],
        )


def _rules(measure: str, names: Sequence[str], number: str) -> list[Measure]:
    """Return what is counted of rules: a mark gives the number of the one that held for a line.

    Several rules can give the same name, so an item begins with the place of its rule.
    """
    items = {place: f"{place}: {name}" for place, name in enumerate(names, 1)}
    if not items:
        return []
    cases = [f"when {place} then {literal(item)}" for place, item in items.items()]
    return [Measure(measure, f"case {number} {' '.join(cases)} end", known=tuple(items.values()))]


def listed_values(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the values that may mean no customer and that table customers lists as one."""
    if not _is_there(connection):
        return ()
    rows = connection.execute(
        "select distinct item from raw.load_report "
        "where table_name = 'customers' and measure = 'kept_no_customer' order by item"
    ).fetchall()
    return tuple(value for (value,) in rows)


def files_to_decide_anew(connection: duckdb.DuckDBPyConnection, table: str) -> set[str]:
    """Return the files read before table customers listed a value, or ceased to."""
    if table == "customers" or not _is_there(connection):
        return set()
    rows = connection.execute(
        "select source_file from raw.load_report where table_name = $1 and case measure "
        "when 'no_customer' then list_contains($2, item) "
        "when 'kept_no_customer' then not list_contains($2, item) else false end",
        [table, list(listed_values(connection))],
    ).fetchall()
    return {file for (file,) in rows}


def _is_there(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the warehouse has the table; one that a former version loaded has not."""
    (count,) = connection.execute(
        "select count(*) from duckdb_tables() "
        "where schema_name = 'raw' and table_name = 'load_report'"
    ).fetchone()
    return count > 0
