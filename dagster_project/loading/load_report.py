"""What a load found in a file beside its rows, counted: `raw.load_report`.

Grain: one row per table, file, measure and item. A file's counts are replaced with its rows and
are of the whole file, whatever days were asked for, so that a warning lasts as long as its cause.
The raw gate judges them, the load's metadata and the terminal show them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from dagster_project.config import canonical
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.rules import compared, seen_as_text
from dagster_project.warehouse import literal


@dataclass(frozen=True)
class Measure:
    """Something counted: `item` and `condition` are SQL over `tally`, or over `id_tally`.

    `known` items are reported of every file, if only to say that no line is one.

    `tally` has a row per file and combination of the marks (see `TableMapping.marks`), with
    `is_rejected`; `id_tally` one per file and combination of the ids' notes, of the rows in raw.
    Both have `row_count` and `amount` (of transactions, else null).
    """

    name: str
    item: str
    condition: str = "true"
    known: tuple[str, ...] = ()
    relation: str = "tally"


def measures(mapping: TableMapping) -> list[Measure]:
    """Return what is counted of a table's files."""
    counted = [
        Measure(note.measure, literal(note.column), _note(bit), relation="id_tally")
        for bit, note in enumerate(mapping.ids.notes())
    ]
    counted += [
        Measure(note.measure, literal(note.column), note.condition)
        for note in mapping.ids.staged_notes()
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
    _tally_marks(connection, mapping)
    _tally_ids(connection, mapping)
    for measure in counted:
        connection.execute(
            f"""
            insert into raw.load_report
            select
                {literal(table)}, source_file, {literal(measure.name)}, item,
                sum(row_count), sum(amount), ?
            from (
                select source_file, {measure.item} as item, row_count, amount
                from {measure.relation} where {measure.condition}
                union all
                select source_file, unnest(?::varchar[]), 0, null from read_files
            )
            group by source_file, item having item is not null
            order by source_file, item
            """,
            [batch_id, list(measure.known)],
        )


def _tally_marks(connection: duckdb.DuckDBPyConnection, mapping: TableMapping) -> None:
    # Where none was rejected, streamed records need not be typed again to know it.
    (has_rejected,) = connection.execute("select count(*) > 0 from rejected").fetchone()
    is_rejected = "reject_reason is not null" if has_rejected else "false"
    # Nor need their ids be read where every row has kept its customer.
    is_known = (
        mapping.ids.has_no_customers
        and not has_rejected
        and not connection.execute(
            f"select count(*) from raw.{mapping.table.name} "
            "semi join read_files using (source_file) where customer_id is null"
        ).fetchone()[0]
    )
    known = "replace (null::varchar as no_customer)" if is_known else ""
    _tally(
        connection,
        mapping,
        "tally",
        f"select source_file, {is_rejected} as is_rejected, staged.* {known} "
        "from staged join read_files using (file_path)",
        ["is_rejected"],
        {name: f"{name} is not null" for name in mapping.marks},
    )


def _tally_ids(connection: duckdb.DuckDBPyConnection, mapping: TableMapping) -> None:
    """Count the ids' notes of rows in raw, where ids need not be brought into form once more."""
    notes = {_note(bit): note.condition for bit, note in enumerate(mapping.ids.notes())}
    told = "".join(f", {condition} as {name}" for name, condition in notes.items())
    _tally(
        connection,
        mapping,
        "id_tally",
        f"select *{told} from raw.{mapping.table.name} semi join read_files using (source_file)",
        [],
        {name: name for name in notes},
    )


def _tally(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    name: str,
    rows: str,
    keys: Sequence[str],
    marks: Mapping[str, str],
) -> None:
    """Count rows by file, keys and marks; `marks` tells of each when it says something."""
    is_paid = mapping.table is canonical.TRANSACTIONS
    amount = "sum(amount)" if is_paid else "null::decimal(38, 2)"
    # Most rows have no mark, and grouping them takes longer than finding that out.
    connection.execute(
        f"create or replace temp table {name} as "
        f"select {', '.join(['source_file', *keys, *marks])}, "
        f"count(*) as row_count, {amount} as amount "
        f"from ({rows}) where {' or '.join(marks.values()) or 'false'} group by all"
    )


def _note(bit: int) -> str:
    return f"note_{bit}"


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
