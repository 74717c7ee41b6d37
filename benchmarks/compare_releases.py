"""`python -m benchmarks.compare_releases BEFORE AFTER`: what differs between two release files.

How they are compared is said in `release_differences`. A file of intended changes lets the releases
differ where they are meant to:

    - table: customer_scores
      columns: [revenue_at_risk]
      why: Scores take the source's value tiers.
      max_rows: 40
      max_abs: 0.5
    - {table: cases, change: table added, why: New.}

`--renamed` gives the former release the names of the later one first: `docs/renamed.yml`.

`change` is one of `CHANGES`, by default `values`. Without `columns` any column is meant, except for
`values`, which must name them. `max_rows` and `max_abs` bound each column's differing rows and its
greatest difference; under a `max_abs` no null may become a number, nor a number null.

Exit codes: 0 nothing but intended differences, 1 others, 2 bad usage.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from benchmarks.measuring import markdown_table
from benchmarks.release_differences import (
    CHANGES,
    VALUES,
    VOLATILE_COLUMNS,
    Difference,
    TableComparison,
    compare,
)

# So many columns of a table are named in its row; all of them are in the list below.
COLUMNS_SHOWN = 3


class UsageError(Exception):
    """A file is missing or the intended changes cannot be read; the message says which and how."""


@dataclass(frozen=True)
class Intended:
    """A change that is meant; its fields are the keys of the file of intended changes."""

    table: str
    why: str
    change: str = VALUES
    columns: tuple[str, ...] | None = None
    max_rows: int | None = None
    max_abs: float | None = None

    def covers(self, difference: Difference) -> bool:
        """Return whether the difference is of this kind, of this table and of these columns."""
        return (self.table, self.change) == (difference.table, difference.change) and (
            self.columns is None or difference.column in self.columns
        )

    def allows(self, difference: Difference) -> bool:
        """Return whether the difference is covered and within the bounds."""
        if not self.covers(difference):
            return False
        if self.max_rows is not None and (difference.row_count or 0) > self.max_rows:
            return False
        if self.max_abs is None:
            return True
        # Null, text and what is not a number are within no bound.
        greatest = difference.greatest
        return greatest is not None and greatest <= self.max_abs and not difference.null_count


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare as the command line says, print the result and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare_releases",
        description="Says what differs between two release files.",
    )
    parser.add_argument("before", type=Path, metavar="BEFORE.duckdb")
    parser.add_argument("after", type=Path, metavar="AFTER.duckdb")
    parser.add_argument(
        "--intended", type=Path, metavar="FILE", help="YAML of the changes that are meant"
    )
    parser.add_argument(
        "--renamed", type=Path, metavar="FILE", help="YAML of new names, as docs/renamed.yml"
    )
    parsed = parser.parse_args(arguments)
    try:
        for file in (parsed.before, parsed.after):
            if not file.is_file():
                raise UsageError(f"{file} is not there.")
        intended = read_intended(parsed.intended) if parsed.intended else []
        renamed = yaml.safe_load(parsed.renamed.read_text("utf-8")) if parsed.renamed else None
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    compared, differences = compare(parsed.before, parsed.after, renamed)
    print(report(compared, differences, intended))
    return int(any(_reason(one, intended) is None for one in differences))


def read_intended(file: Path) -> list[Intended]:
    """Read the changes that are meant.

    Raises:
        UsageError: the file is missing, or an entry has unknown or missing keys.
    """
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    known = {one.name for one in fields(Intended)}
    intended = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"table", "why"} <= entry.keys() <= known:
            raise UsageError(
                f"{file}: {entry} must have table and why, and else only "
                f"{', '.join(sorted(known - {'table', 'why'}))}."
            )
        one = Intended(
            **entry | ({"columns": tuple(entry["columns"])} if "columns" in entry else {})
        )
        if one.change not in CHANGES:
            raise UsageError(f"{file}: change {one.change!r} is none of {', '.join(CHANGES)}.")
        if one.change == VALUES and not one.columns:
            raise UsageError(f"{file}: {entry} must name the columns whose values may change.")
        intended.append(one)
    return intended


def report(
    compared: Iterable[TableComparison],
    differences: Sequence[Difference],
    intended: Sequence[Intended],
) -> str:
    """Return the tables' figures, then the differences: those not meant, those meant, the rest."""
    rows = [["table", "rows before", "after", "only before", "only after", "columns that differ"]]
    for one in compared:
        counts = (one.rows_before, one.rows_after, one.only_before, one.only_after)
        rows.append([one.table, *(f"{count:,}" for count in counts), _columns_in_words(one)])
    reasons = {one: _reason(one, intended) for one in differences}
    unused = [
        f"{one.table}, {one.change}, {column or 'any column'}: {one.why}"
        for one in intended
        for column in one.columns or (None,)
        if not any(
            one.covers(difference) and column in (None, difference.column)
            for difference in differences
        )
    ]
    unmeant = sum(why is None for why in reasons.values())
    left_out = [
        f"{table}: {', '.join(sorted(columns))}" for table, columns in VOLATILE_COLUMNS.items()
    ]
    return "\n\n".join(
        [
            markdown_table(rows),
            *_listed("Differences", (one for one, why in reasons.items() if why is None)),
            *_listed("Intended", (f"{one}\n  why: {why}" for one, why in reasons.items() if why)),
            *_listed("Intended, but nothing differs", unused),
            *_listed("Not compared, for it always differs", left_out),
            f"{len(reasons)} differences, {unmeant} of them not intended.",
        ]
    )


def _columns_in_words(compared: TableComparison) -> str:
    """Return the first columns that differ, with the rows and the greatest difference of each."""
    columns = [
        f"{one.column} ({one.row_count:,}"
        + ("" if one.greatest is None else f", at most {one.greatest:g}")
        + ")"
        for one in compared.differences
        if one.change == VALUES
    ]
    more = len(columns) - COLUMNS_SHOWN
    return ", ".join(columns[:COLUMNS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _listed(title: str, lines: Iterable[object]) -> Iterator[str]:
    """Yield a list under its title, or nothing if it is empty."""
    if text := "\n".join(f"- {line}" for line in lines):
        yield f"{title}:\n{text}"


def _reason(difference: Difference, intended: Iterable[Intended]) -> str | None:
    """Return why a difference is meant, or None if it is not."""
    return next((one.why for one in intended if one.allows(difference)), None)


if __name__ == "__main__":
    sys.exit(main())
