"""YAML that cannot be read, and keys that stand in it twice."""

from pathlib import Path

import pytest
from support.small_source import GOOD, changed, check_fault

# id, text of the file, place, parts of the message
FAULTS = [
    ("repeated key", GOOD + "currency: EUR\n", "line 16", ["currency is repeated", "line 6"]),
    ("repeated column", GOOD + "      amount: other\n",
     "line 16", ["tables.transactions.columns.amount is repeated", "line 15"]),
    ("no YAML", GOOD + "  - x\n", "line 16", ["no YAML", "indentation"]),
    ("unquoted pattern", changed("orders.csv", "*.csv"), "line 11", ["into quotes"]),
    ("unquoted format", changed("    files:", "    date_format: %Y\n    files:"),
     "line 11", ["into quotes"]),
    ("key that is no word", GOOD + "[a]: 1\n", "line 16", ["a plain word"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_faulty_yaml(text: str, place: str, parts: list[str], tmp_path: Path) -> None:
    check_fault(tmp_path, text, place, parts)
