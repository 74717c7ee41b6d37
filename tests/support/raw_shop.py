"""A small source on disk with its raw layer in memory, for the tests of reading and loading."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from support.small_source import SOURCE_HEAD

from dagster_project.config import canonical
from dagster_project.config.source import load_source
from dagster_project.loading.load import LoadReport, load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths

CONFIG = """\
{head}{more}
tables:
  transactions:
    files: "{files}"
    columns:
      customer_id: customer
      ordered_at: day
      amount: {amount}
{columns}
{table}
{tables}
"""


# A file's columns, and parts of the source's file.
HEADER = "customer,day,amount\n"
ID = "      transaction_id: id"
HEADER_WITH_NOTE = "customer,day,amount,note\n"
NOTE = "      category: note"


def lines(*rows: str) -> str:
    """Return the text of a file with those rows."""
    return HEADER + "\n".join(rows) + "\n"


def day(number: int) -> date:
    """Return that day of January 2024."""
    return date(2024, 1, number)


class Shop:
    """Puts files into the landing folder, loads them and looks at raw."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection, **parts: str) -> None:
        self.paths = SourcePaths(folder, "shop")
        self.connection = connection
        self.batch = 0
        self.configure(**parts)
        prepare_raw(connection)

    def configure(
        self, *, zone: str = "America/New_York", kind: str = "finished", **parts: str
    ) -> None:
        """Write the source's file anew; parts are indented as they shall stand in it."""
        defaults = {"files": "*", "amount": "amount"}
        head = SOURCE_HEAD.replace("America/New_York", zone)
        if kind == "live":
            head = head.replace("kind: finished\n", "kind: live\n")
            head = head.replace("last_day: 2024-12-31\n", "")
        empty = dict.fromkeys(("more", "columns", "table", "tables"), "")
        file = self.paths.data_dir / "sources" / "shop.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(head=head, **(defaults | empty | parts))
        file.write_text(text, encoding="utf-8")
        self.source = load_source(self.paths)

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file into the landing folder."""
        file = self.paths.landing / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def load(self, table: str = "transactions", **options: Any) -> LoadReport:
        """Load a table as the next batch."""
        self.batch += 1
        return load_table(
            self.connection, self.source, self.paths, table, batch_id=f"b{self.batch}", **options
        )

    def rows(self, sql: str) -> list[tuple]:
        """Return the rows of a query, times as the database has them."""
        return self.connection.execute(sql).fetchall()

    def values(self, column: str, table: str = "transactions") -> list[Any]:
        """Return a column in the order of files and rows."""
        rows = self.rows(f"select {column} from raw.{table} order by source_file, source_row")
        return [value for (value,) in rows]

    def rejected(self) -> list[tuple]:
        """Return (file, line, reason, text) of the rejected lines."""
        return self.rows(
            "select source_file, row_number, reason, original_text from raw.rejected_rows "
            "order by all"
        )

    def load_counts(self) -> list[tuple]:
        """Return (file, lines, rows, rejected lines) of the files."""
        return self.rows(
            "select source_file, line_count, row_count, rejected_count from raw.loads order by all"
        )

    def dump(self, *, is_content_only: bool = False) -> dict[str, list[tuple]]:
        """Return everything raw holds, without batches and times if only the content counts."""
        tables = [*canonical.TABLES, "loads", "load_days", "rejected_rows", "duplicate_keys"]
        tables += ["line_versions", "compared_days", "repeated_lines"]
        left_out = ("batch_id", "loaded_at", "delivered_at") if is_content_only else ()
        pattern = "|".join(left_out) or "nothing"
        return {
            table: self.rows(
                f"select columns(lambda name: not regexp_full_match(name, '{pattern}')) "
                f"from raw.{table} order by all"
            )
            for table in tables
        }


@contextmanager
def open_shop(folder: Path, **parts: str) -> Iterator[Shop]:
    """Yield a shop in a folder."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        yield Shop(folder, connection, **parts)


def loaded_notes(shop: Shop) -> list[str | None]:
    """Load the transactions of a shop that maps `NOTE`; return the notes."""
    shop.load()
    return shop.values("category")
