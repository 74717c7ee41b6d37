"""Tables of a source's file: what each part of one may say."""

from pathlib import Path

import pytest
from support.small_source import GOOD, changed, check_fault

# id, text of the file, place, parts of the message
FAULTS = [
    ("unknown table key", changed("    files:", "    delimeter: x\n    files:"),
     "line 11, tables.transactions.delimeter", ["did you mean delimiter?"]),
    ("missing files", changed("    files: orders.csv\n", ""),
     "line 10, tables.transactions.files", ["is missing; add it"]),
    ("unknown zone of a table", changed("    files:", "    time_zone: Mars\n    files:"),
     "line 11, tables.transactions.time_zone", ["'Mars' is no time zone"]),
    ("date format without a year", changed("    files:", '    date_format: "%d.%m"\n    files:'),
     "line 11, tables.transactions.date_format", ["can never give a date", "%d.%m.%Y"]),
    ("date format unknown", changed("    files:", '    date_format: "%Y-%m-%d %Q"\n    files:'),
     "line 11, tables.transactions.date_format", ["is no date format"]),
    ("delimiter too long", changed("    files:", '    delimiter: "||"\n    files:'),
     "line 11, tables.transactions.delimiter", ["one character"]),
    ("no header and no names", changed("    files:", "    header: false\n    files:"),
     "line 10, tables.transactions", ["column_names are needed"]),
    ("unknown encoding", changed("    files:", "    encoding: utf-7\n    files:"),
     "line 11, tables.transactions.encoding", ["'utf-8'", "'gbk'"]),
    ("column in no form", GOOD + "      quantity: {colum: q}\n",
     "line 16, tables.transactions.columns.quantity", ["a list of accepted names"]),
    ("constant of no form", GOOD + "      channel: {constant: [1]}\n",
     "line 16, tables.transactions.columns.channel", ["constant"]),
    ("line type unknown", GOOD + "    line_type:\n      - {type: refund, when: amount < 0}\n",
     "line 17, tables.transactions.line_type.0.type", ["'return'"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_faulty_table(text: str, place: str, parts: list[str], tmp_path: Path) -> None:
    check_fault(tmp_path, text, place, parts)
