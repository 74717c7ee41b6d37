"""The SQL of the rules that tell the lines of transactions apart, and of what they make of a line.

Rules see a line as it is written: its amount has the sign of the file.
"""

from collections.abc import Mapping, Sequence

from dagster_project.config import canonical
from dagster_project.config.expressions import compared_texts, named_columns
from dagster_project.config.tables import ExclusionRule, FromSql, LineTypeRule, TableSource
from dagster_project.loading.values import GivenValue, problem
from dagster_project.warehouse import identifier, literal

# Begins the reason of a line that could not be typed and that a rule excludes.
EXCLUDED = "excluded: "
# What is turned with the amount of a return that the file gives as a positive one.
TURNED = ("amount", "cost_amount")
BLANKS = "' \t\r\n\u00a0\u3000'"


def seen_as_text(table: canonical.Table, declared: TableSource) -> list[str]:
    """Return the columns and inputs that rules see as text."""
    kinds = {column.name: column.kind for column in table.columns}
    kinds |= {name: given.type for name, given in declared.inputs.items()}
    return [name for name, kind in kinds.items() if kind in ("id", "text")]


def marks(declared: TableSource, texts: Sequence[str]) -> dict[str, str]:
    """Return the SQL by name of what rules say of a line, over the columns that they see.

    Args:
        declared: The table with its rules.
        texts: The columns that rules see as text.
    """
    doubtful = [f"doubt_{number}" for number in range(1, len(declared.exclude) + 1)]
    return {
        "excluded_rule": _first_that_holds(declared.exclude, doubtful),
        "line_type_rule": _first_that_holds(declared.line_type),
        "return_sign": _return_sign(declared.line_type),
    } | {
        f"spelling_{number}": _other_spelling(column, values)
        for number, (column, values) in enumerate(compared(declared, texts).items(), 1)
    }


def compared(declared: TableSource, texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts that rules compare columns with, letters that could be personal left out."""
    found = compared_texts(rule.when for rule in (*declared.exclude, *declared.line_type))
    named = {
        column: sorted(value for value in values if value.lower() != value.upper())
        for column, values in sorted(found.items())
        if column in texts and not any("@" in value for value in values)
    }
    return {column: values for column, values in named.items() if values}


def doubts(declared: TableSource, fields: Mapping[str, GivenValue]) -> dict[str, str]:
    """Return SQL by name telling whether an exclusion rule sees a value that cannot be typed.

    A file whose dates cannot be read is wrong, and not excluded by `ordered_at is null`.
    """
    found = {}
    for number, rule in enumerate(declared.exclude, 1):
        seen = _fields_behind(declared, rule.when)
        fault = problem({name: given for name, given in fields.items() if name in seen})
        found[f"doubt_{number}"] = f"{fault} is not null"
    return found


def _fields_behind(declared: TableSource, expression: str) -> set[str]:
    """Return the columns and inputs that an expression sees, and those they are computed from."""
    found = named_columns(expression)
    for name, mapping in declared.columns.items():
        if name in found and isinstance(mapping, FromSql):
            found |= named_columns(mapping.sql)
    return found


def line_type(declared: TableSource) -> str:
    """Return SQL for the type of a line, over its marks and the columns that rules see."""
    rules = [
        f"when {number} then {literal(rule.type)}"
        for number, rule in enumerate(declared.line_type, 1)
    ]
    by_sign = "case when amount >= 0 and coalesce(quantity, 0) >= 0 then 'sale' else 'return' end"
    return f"case line_type_rule {' '.join(rules)} else {by_sign} end" if rules else by_sign


def excluded_reason(declared: TableSource) -> str:
    """Return SQL for the reason that a line is excluded, over its marks."""
    rules = [
        f"when {number} then {literal(rule.reason)}"
        for number, rule in enumerate(declared.exclude, 1)
    ]
    return f"case excluded_rule {' '.join(rules)} end" if rules else "null::varchar"


def turned(name: str) -> str:
    """Return SQL for an amount of a line: what a return gives back never raises revenue."""
    return (
        f"case when return_sign = 'positive' then -abs({identifier(name)}) "
        f"else {identifier(name)} end"
    )


def judged_reason(reason: str) -> str:
    """Return SQL for the reason that a line is rejected: if a rule excludes it, that is why."""
    return (
        f"case when {reason} is not null and excluded_rule is not null "
        f"then {literal(EXCLUDED)} || excluded_reason else {reason} end"
    )


def _first_that_holds(
    rules: Sequence[ExclusionRule | LineTypeRule], doubtful: Sequence[str] = ()
) -> str:
    """Return SQL for the number, from 1, of the first rule that holds for a row.

    It is null where that rule looks at a value that could not be typed, for then nobody knows.
    """
    if not rules:
        return "null::integer"
    numbers = [
        f"case when not {doubtful[number - 1]} then {number} end" if doubtful else f"{number}"
        for number in range(1, len(rules) + 1)
    ]
    cases = [
        f"when try({rule.when}) then {number}" for rule, number in zip(rules, numbers, strict=True)
    ]
    return f"case {' '.join(cases)} end"


def _return_sign(rules: Sequence[LineTypeRule]) -> str:
    """Return SQL for the sign in which the file gives the amount of a return.

    It is null where a rule says that the sign is right as it is, and for any other line.
    """
    minded = [
        f"{number}"
        for number, rule in enumerate(rules, 1)
        if rule.type == "return" and rule.sign == "negative"
    ]
    by_rule = f"line_type_rule in ({', '.join(minded)})" if minded else "false"
    # Without a rule a line with a negative amount or quantity is a return.
    return (
        "case when line_type_rule is null "
        "then case when amount < 0 then 'negative' when quantity < 0 and amount > 0 "
        "then 'positive' end "
        f"when {by_rule} then case when amount < 0 then 'negative' "
        "when amount > 0 then 'positive' end end"
    )


def _other_spelling(column: str, values: Sequence[str]) -> str:
    """Return SQL for a value that differs from a compared text in case or blanks alone."""
    exact = ", ".join(literal(value) for value in values)
    letters = sorted({"".join(value.lower().split()) for value in values})
    name = identifier(column)
    # Most values are equal to a text or have too few letters for one: they are told apart cheaply.
    shortest = min(len(one.encode()) for one in letters)
    bare = f"translate(lower({name}), {BLANKS}, '')"
    alike = f"{bare} in ({', '.join(literal(one) for one in letters)})"
    return (
        f"case when {name} not in ({exact}) and strlen({name}) >= {shortest} "
        f"and {alike} then {name} end"
    )
