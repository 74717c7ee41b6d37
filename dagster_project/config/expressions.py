"""What a SQL expression of a source's file says: the columns it names, the texts it compares."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import duckdb

_EQUALITIES = ("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM")
_EQUALITIES += ("COMPARE_NOT_DISTINCT_FROM", "COMPARE_IN", "COMPARE_NOT_IN")


def named_columns(expression: str) -> set[str]:
    """Return the names in an expression that can be columns, in lower case."""
    return {_column(node) for node in _nodes(_tree(expression))} - {None}


def compared_texts(expressions: Iterable[str]) -> dict[str, set[str]]:
    """Return the texts that each column, as it stands, is tested to equal or not to equal.

    `column = 'text'`, `<>` and `in (...)` count; `lower(column) = 'text'` already minds the case.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for expression in expressions:
        for node in _nodes(_tree(expression)):
            if node.get("type") not in _EQUALITIES:
                continue
            sides = node.get("children") or [node.get("left"), node.get("right")]
            columns = [_column(side) for side in sides if _column(side)]
            texts = {_text(side) for side in sides} - {None}
            if len(columns) == 1 and texts:
                found[columns[0]] |= texts
    return dict(found)


@lru_cache(maxsize=1000)
def _tree(expression: str) -> Any:
    with duckdb.connect() as connection:
        (tree,) = connection.execute(
            "select json_serialize_sql(?)", [f"select {expression}"]
        ).fetchone()
    return json.loads(tree)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from _nodes(part)


def _column(node: Any) -> str | None:
    if isinstance(node, dict) and node.get("class") == "COLUMN_REF":
        return node["column_names"][-1].lower()
    return None


def _text(node: Any) -> str | None:
    literal = node.get("literal") if isinstance(node, dict) else None
    return literal["text"] if literal and literal["kind"] == "STRING" else None
