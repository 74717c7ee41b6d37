"""Which lines of the current release raw has no more: files and days that hold fewer now.

Raw follows its files, so a file that is emptied, cut off or written anew with other days takes
lines of former days with it, and every number after that would be right by what is left.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from dagster_project.errors import counted
from dagster_project.loading.raw_tables import first_days, lines_by_day
from dagster_project.paths import SourcePaths
from dagster_project.shown import shown
from dagster_project.warehouse import connect

# A correction takes a few lines out of a file or a day. Of small numbers any share is chance.
KEPT_SHARE_OF_FILE, KEPT_SHARE_OF_DAY, LEAST_LOST_LINES = 0.8, 0.5, 10
LOST_LINES_DDL = """
create or replace table audit.lost_lines (
    severity varchar, former_count bigint, lost_count bigint, examples varchar[], words varchar
)"""
# Lines by table and file, or by table and day.
Lines = Mapping[tuple[str, str], int]
# First day (ISO) by table and file; a table with the first day a file lost and the first it has.
Firsts = Mapping[tuple[str, str], str]
Cut = tuple[str, str, str]
AFTER_ALL = "9999-12-31"


@dataclass(frozen=True)
class LostLines:
    """A file or day of a table that held `former_count` lines and holds `line_count`, fewer.

    `is_much` tells a loss from a correction.
    """

    kind: Literal["file", "day"]
    table: str
    place: str
    former_count: int
    line_count: int
    is_much: bool


def lost_of_files(former: Lines, now: Lines) -> Iterator[LostLines]:
    """Yield the files with fewer lines; those that have gone are none, for their rows are kept.

    Much is over a fifth of a file, from ten lines on.
    """
    for (table, file), count in sorted(former.items()):
        left = now.get((table, file), count)
        if left < count:
            is_much = count - left >= LEAST_LOST_LINES and left < KEPT_SHARE_OF_FILE * count
            yield LostLines("file", table, file, count, left, is_much)


def lost_of_days(former: Lines, now: Lines, cut: Sequence[Cut] = ()) -> Iterator[LostLines]:
    """Yield the days with fewer lines, whatever files hold them.

    A file of the last 90 days that is written anew each morning never has fewer lines, and loses a
    day each time. Much is more than half of each day, from ten lines of such days together on.
    Lines at which a file was cut (see `cuts`), and the first day of all, are always much: a history
    that begins later makes other customers new.
    """
    firsts: dict[str, str] = {}
    for table, day in sorted(now):
        firsts.setdefault(table, day)
    fewer = [
        (table, day, count, now.get((table, day), 0))
        for (table, day), count in sorted(former.items())
        if now.get((table, day), 0) < count
    ]
    thin = Counter[str]()
    for table, _, count, left in fewer:
        thin[table] += count - left if left < KEPT_SHARE_OF_DAY * count else 0
    for table, day, count, left in fewer:
        is_thin = left < KEPT_SHARE_OF_DAY * count and thin[table] >= LEAST_LOST_LINES
        begins_later = table not in firsts or day < firsts[table]
        is_cut = any(table == of and begun <= day < until for of, begun, until in cut)
        yield LostLines("day", table, day, count, left, is_thin or begins_later or is_cut)


def cuts(former: Firsts, now: Firsts, present: Iterable[tuple[str, str]]) -> list[Cut]:
    """Return from which day up to which each file that is there has lines no more at its start."""
    there = set(present)
    return [
        (table, first, now.get((table, file), AFTER_ALL))
        for (table, file), first in former.items()
        if (table, file) in there and first < now.get((table, file), AFTER_ALL)
    ]


def write_lost_lines(
    paths: SourcePaths, former: Mapping[str, Any] | None, *, is_accepted: bool
) -> None:
    """Write what raw has lost of the current release into `audit`, which the raw gate judges.

    Args:
        paths: Folders of the source.
        former: Manifest of the current release, if there is one; manifests before 3.0 name no
            days.
        is_accepted: Whether a person said that the files count as they are.
    """
    with connect(paths) as connection:
        lost = _lost(connection, former) if former else []
        connection.execute("create schema if not exists audit")
        connection.execute(LOST_LINES_DDL)
        for severity in ("critical", "warning"):
            is_critical = severity == "critical"
            ones = [one for one in lost if (one.is_much and not is_accepted) == is_critical]
            connection.execute(
                "insert into audit.lost_lines values (?, ?, ?, ?, ?)", [severity, *_told(ones)]
            )


def _lost(connection: duckdb.DuckDBPyConnection, former: Mapping[str, Any]) -> list[LostLines]:
    files = Counter[tuple[str, str]]()
    for one in former["inputs"]:
        files[one["table_name"], one["file_name"]] += one["row_count"] or 0
    present = connection.execute(
        "select table_name, parse_filename(source_file), sum(row_count)::bigint "
        "from raw.loads where is_present group by all"
    ).fetchall()
    # The manifest has the names as they are shown.
    files_now = {(table, shown(file)): count for table, file, count in present}
    days = _by_table(former.get("lines_by_day", {}))
    days_now = _by_table(lines_by_day(connection, "raw"))
    firsts = _by_table(former.get("first_days", {}))
    firsts_now = {
        (table, shown(file)): day
        for (table, file), day in _by_table(first_days(connection, "raw")).items()
    }
    cut = cuts(firsts, firsts_now, files_now)
    return [*lost_of_files(files, files_now), *lost_of_days(days, days_now, cut)]


def _told(lost: Sequence[LostLines]) -> tuple[int, int, list[str], str]:
    """Return former lines, lost lines, examples and words; a file's lines are its days' too."""
    told, words = [], []
    for kind in ("file", "day"):
        ones = [one for one in lost if one.kind == kind]
        if ones:
            former = sum(one.former_count for one in ones)
            gone = former - sum(one.line_count for one in ones)
            words.append(f"{gone:,} of {former:,} lines of {counted(kind, len(ones))}")
            told.append((gone, former, [f"{one.table} {one.place}" for one in ones[:3]]))
    gone, former, _ = max(told, default=(0, 0, []))
    examples = [example for *_, named in told for example in named]
    return former, gone, examples, "; ".join(words) or "none lost"


def _by_table(nested: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    return {
        (table, name): value for table, named in nested.items() for name, value in named.items()
    }
