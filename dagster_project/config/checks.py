"""Checks of what a source's file says against what it does not say itself.

Tables against the canonical ones, SQL expressions against what they see, versions of a definition
against each other. Each check yields its faults as a problem and the keys where it stands; the
reader of the file (`source`) makes messages of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import duckdb

from dagster_project.config import canonical, churn, tiers
from dagster_project.config.messages import unknown
from dagster_project.config.tables import (
    FromColumn,
    FromConstant,
    FromLookup,
    FromSql,
    TableSource,
)
from dagster_project.config.versions import overlaps
from dagster_project.warehouse import identifier, literal

NAME = re.compile(r"[a-z][a-z0-9_]*")
# How messages call a version of what has versions.
VERSION_NAMES = {"churn_definition": churn.name_of, "value_tiers": tiers.name_of}

# Kinds of columns of which one version can be told to be later than another.
ORDERED_KINDS: tuple[canonical.Kind, ...] = ("timestamp", "date", "count", *canonical.NUMBERS)

Fault = tuple[str, *tuple[str, ...]]


def version_faults(
    churn_definition: Sequence[churn.DeclaredDefinition],
    value_tiers: Sequence[tiers.DeclaredTiers],
    basis: churn.Basis,
) -> Iterator[Fault]:
    """Yield what needs all versions of a definition beside each other.

    Args:
        churn_definition: Versions as written.
        value_tiers: Versions as written.
        basis: Basis of a churn definition that names none.
    """
    tier_names = [tiers.name_of(one.model_dump()) for one in value_tiers]
    faults = {
        "churn_definition": (
            churn_definition,
            churn.version_faults(churn_definition, basis),
        ),
        "value_tiers": (value_tiers, overlaps(value_tiers, tier_names)),
    }
    for key, (versions, found) in faults.items():
        for index, field, problem in found:
            name = VERSION_NAMES[key](versions[index].model_dump())
            yield f"in {name}: {problem}", key, str(index), field


def table_faults(tables: Mapping[str, TableSource]) -> Iterator[Fault]:
    """Yield what is wrong with a source's tables, beginning with their names.

    A later fault may follow from an earlier one.
    """
    if "transactions" not in tables:
        yield "transactions is required; add it", "tables"
    for name, declared in tables.items():
        if name not in canonical.TABLES:
            yield unknown(name, canonical.TABLES), "tables", name
            continue
        for check in (_column_faults, _key_faults, _reference_faults, _expression_faults):
            for problem, *keys in check(name, declared):
                yield problem, "tables", name, *keys


def _mappable(name: str) -> list[str]:
    """Return the columns of a canonical table that a source can fill."""
    derived = canonical.DERIVED_COLUMNS.get(name, set())
    return [column.name for column in canonical.TABLES[name].columns if column.name not in derived]


def _column_faults(name: str, declared: TableSource) -> Iterator[Fault]:
    """Yield each column that is not known, and each required one that is missing."""
    mappable = _mappable(name)
    for column in declared.columns:
        if column not in mappable:
            yield unknown(column, mappable), "columns", column
    columns = canonical.TABLES[name].columns
    required = {column.name for column in columns if column.required} & {*mappable}
    required -= {"currency"}
    # Lines without a customer may exist, a file without the column is a mistake.
    required |= {"customer_id"} if name == "transactions" else set()
    for column in sorted(required - declared.columns.keys()):
        yield f"{column} is required for {name}; map it", "columns"


def _key_faults(name: str, declared: TableSource) -> Iterator[Fault]:
    """Yield a key of no mapped column, and what is declared for a table that cannot have it."""
    for column in declared.key:
        if column not in declared.columns:
            yield unknown(column, declared.columns), "key"
    for key in ("line_type", "exclude", "key", "duplicates", "version_by", "repeated_lines"):
        if name != "transactions" and key in declared.model_fields_set:
            yield f"{key} is for transactions only; remove it", key
    if name == "transactions" and "duplicates" in declared.model_fields_set and not declared.key:
        yield (
            "it needs a `key`: the columns that together identify a line. Add one, for example "
            "`key: [transaction_id, product_id]`, or remove duplicates",
            "duplicates",
        )
    if name == "transactions" and declared.version_by:
        yield from _version_faults(declared)
    if name == "transactions" and declared.unpivot:
        yield "unpivot is not for transactions; remove it", "unpivot"


def _version_faults(declared: TableSource) -> Iterator[Fault]:
    """Yield what is wrong with `version_by`: nothing to choose from, or no order."""
    name = declared.version_by
    if declared.duplicates != "keep_last":
        yield "version_by is for `duplicates: keep_last`; add that or remove it", "version_by"
    kinds = {
        column.name: column.kind
        for column in canonical.TRANSACTIONS.columns
        if column.name in declared.columns
    } | {given: one.type for given, one in declared.inputs.items()}
    if name not in kinds:
        yield unknown(name, kinds), "version_by"
    elif kinds[name] not in ORDERED_KINDS:
        yield (
            f"{name} has no order that is sure: as text 10 comes before 9. Read it as an input "
            f"of type {', '.join(ORDERED_KINDS[:-1])} or {ORDERED_KINDS[-1]}",
            "version_by",
        )


def _reference_faults(name: str, declared: TableSource) -> Iterator[Fault]:
    """Yield lookups and inputs that lead nowhere or take a name that means something else."""
    for column, mapping in declared.columns.items():
        if isinstance(mapping, FromLookup) and mapping.lookup not in declared.lookups:
            yield unknown(mapping.lookup, declared.lookups), "columns", column
    for lookup_name, lookup in declared.lookups.items():
        if not isinstance(declared.columns.get(lookup.match), FromColumn):
            yield (
                f"{lookup.match!r} is not a column mapped by name; map it",
                *("lookups", lookup_name, "match"),
            )
    mappable = _mappable(name)
    for given in declared.inputs:
        if given in mappable or not NAME.fullmatch(given):
            yield (
                "an input needs a name of its own, in lower-case letters, digits and "
                "underscores; rename it",
                *("inputs", given),
            )


def _expression_faults(name: str, declared: TableSource) -> Iterator[Fault]:
    """Yield each SQL expression and constant of a table that cannot work."""
    for column, mapping in declared.columns.items():
        fault = None
        if isinstance(mapping, FromSql):
            fault = _expression_fault(name, declared, "columns", mapping.sql)
        elif isinstance(mapping, FromConstant):
            fault = _constant_fault(canonical.TABLES[name].column(column).kind, mapping.constant)
        if fault:
            yield fault, "columns", column
    for key in ("line_type", "exclude"):
        for index, rule in enumerate(getattr(declared, key)):
            fault = _expression_fault(name, declared, key, rule.when)
            if fault:
                yield fault, key, str(index), "when"


def _expression_fault(name: str, declared: TableSource, key: str, expression: str) -> str | None:
    """Return what is wrong with an SQL expression of a table, if anything, without its file.

    `key` is `columns`, `line_type` or `exclude`: rules see every column of the table,
    computed columns only what is read from files.
    """
    kinds = {
        column.name: column.kind
        for column in canonical.TABLES[name].columns
        if key != "columns"
        or isinstance(declared.columns.get(column.name), FromColumn | FromLookup)
    } | {name: given.type for name, given in declared.inputs.items()}
    scope = ", ".join(
        f"null::{canonical.expression_type(kind)} as {identifier(one)}"
        for one, kind in kinds.items()
    )
    try:
        with duckdb.connect() as connection:
            connection.execute(f"select try({expression}) from (select {scope}) limit 0")
    except duckdb.Error as error:
        problem = str(error).split("\n")[0].split(": ", 1)[-1]
        return (
            f"the expression `{expression}` does not work: {problem}. It can use {', '.join(kinds)}"
        )
    return None


def _constant_fault(kind: canonical.Kind, constant: object) -> str | None:
    """Return what is wrong with a constant, if it cannot stand in a column of that kind."""
    with duckdb.connect() as connection:
        (value,) = connection.execute(
            f"select try_cast({literal(constant)} as {canonical.expression_type(kind)})::varchar"
        ).fetchone()
    if value is None:
        return f"the constant {constant!r} is not {canonical.KIND_NAMES[kind]}; correct it"
    return None
