"""A source's file against the canonical tables: names, required columns, rules, expressions."""

from pathlib import Path

import pytest
from support.small_source import GOOD, changed, check_fault

# id, text of the file, place, parts of the message
FAULTS = [
    ("unknown table", changed("  transactions:", "  transaction:"),
     "tables", ["transactions is required"]),
    ("second unknown table", GOOD + "  customer:\n    files: x.csv\n    columns: {}\n",
     "line 16, tables.customer", ["did you mean customers?"]),
    ("unknown column", GOOD + "      quantitty: q\n",
     "line 16, tables.transactions.columns.quantitty", ["did you mean quantity?"]),
    ("derived column", GOOD + "      line_type: q\n",
     "line 16, tables.transactions.columns.line_type", ["unknown name"]),
    ("required column", changed("      ordered_at: day\n", ""),
     "line 12, tables.transactions.columns", ["ordered_at is required"]),
    ("customer column", changed("      customer_id: customer\n", ""),
     "line 12, tables.transactions.columns", ["customer_id is required"]),
    ("constant of a wrong type", GOOD + "      quantity: {constant: many}\n",
     "line 16, tables.transactions.columns.quantity", ["'many' is not a number"]),
    ("unknown lookup", GOOD + "      category: {lookup: products, column: c}\n",
     "line 16, tables.transactions.columns.category", ["unknown name 'products'"]),
    ("lookup matched with nothing", GOOD + "    lookups:\n      products:\n        files: p.csv\n"
     "        key: sku\n        match: product_id\n",
     "line 20, tables.transactions.lookups.products.match", ["map it"]),
    ("input named like a column", GOOD + "    inputs:\n      category: {column: x}\n",
     "line 17, tables.transactions.inputs.category", ["name of its own"]),
    ("expression that names nothing", GOOD + "      quantity: {sql: amounts + 1}\n",
     "line 16, tables.transactions.columns.quantity", ["`amounts + 1`", "It can use customer_id"]),
    ("expression that is no SQL", GOOD + "      quantity: {sql: 'amount +'}\n",
     "line 16, tables.transactions.columns.quantity", ["does not work"]),
    ("rule that does not work", GOOD + "    exclude:\n      - reason: x\n        when: amont > 1\n",
     "line 18, tables.transactions.exclude.0.when", ["`amont > 1`"]),
    ("key of a column not mapped", GOOD + "    key: transaction_id\n",
     "line 16, tables.transactions.key", ["unknown name 'transaction_id'"]),
    ("duplicates without a key", GOOD + "    duplicates: keep_last\n",
     "line 16, tables.transactions.duplicates", ["needs a `key`", "`key: [transaction_id"]),
    ("blocked duplicates without a key", GOOD + "    duplicates: block\n    key: []\n",
     "line 16, tables.transactions.duplicates", ["needs a `key`"]),
    ("duplicates elsewhere", GOOD + "  customers:\n    files: c.csv\n"
     "    columns: {customer_id: c}\n    duplicates: keep_last\n",
     "line 19, tables.customers.duplicates", ["transactions only"]),
    ("repeated lines elsewhere", GOOD + "  customers:\n    files: c.csv\n"
     "    columns: {customer_id: c}\n    repeated_lines: allowed\n",
     "line 19, tables.customers.repeated_lines", ["transactions only"]),
    ("version of blocked duplicates", GOOD + "    key: ordered_at\n    version_by: ordered_at\n",
     "line 17, tables.transactions.version_by", ["`duplicates: keep_last`"]),
    ("version of nothing", GOOD + "    key: ordered_at\n    duplicates: keep_last\n"
     "    version_by: orderd_at\n",
     "line 18, tables.transactions.version_by", ["did you mean ordered_at?"]),
    ("version without an order", GOOD + "    key: ordered_at\n    duplicates: keep_last\n"
     "    version_by: customer_id\n",
     "line 18, tables.transactions.version_by", ["customer_id has no order", "timestamp, date"]),
    ("rules elsewhere", GOOD + "  customers:\n    files: c.csv\n    columns: {customer_id: c}\n"
     "    exclude: [{reason: x, when: 'true'}]\n",
     "tables.customers.exclude", []),
    ("unpivoted transactions", GOOD + "    unpivot: [a]\n",
     "line 16, tables.transactions.unpivot", ["not for transactions"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_fault_beside_the_canonical_tables(
    text: str, place: str, parts: list[str], tmp_path: Path
) -> None:
    check_fault(tmp_path, text, place, parts)
