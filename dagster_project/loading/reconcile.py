"""Every line of a file accounted for: by a record, or as refused, blank or inside a value."""

import hashlib
from bisect import bisect_left
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.loading.lines import LineNumbers, number_lines
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.quotes import (
    MISPLACED_QUOTE,
    Shape,
    SpannedLines,
    long_lines,
    spanned_lines,
    write_without,
)
from dagster_project.loading.readers import (
    NO_DELIMITER,
    ReadableFile,
    blank_lines,
    holds_lines,
)
from dagster_project.loading.text_files import TOO_LONG, lines_at, lines_of
from dagster_project.warehouse import literal

BREAKS = "chr(10) || chr(13)"
# The reader's own words differ from version to version, and quote the line.
REFUSALS = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "INVALID ENCODING": "not UTF-8 text; declare the file's `encoding`",
    "UNQUOTED VALUE": MISPLACED_QUOTE,
    "LINE SIZE OVER MAXIMUM": TOO_LONG,
}
OTHER_REFUSAL = "the line cannot be split into fields"
# So many lines in doubt are noted at once.
NOTED_LINES = 50_000


@dataclass(frozen=True)
class Account:
    """On which lines of a file its records stand, and how many of its lines are none's.

    `break_count` are line breaks inside values, `blank_count` blank lines.
    """

    numbers: LineNumbers
    break_count: int
    blank_count: int


def prepare_refused(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the temporary table `refused`: one row a line that the reader made no record of.

    And `doubtful`, if it is not there: those that are set apart before it reads the file.
    """
    connection.execute(
        "create or replace temp table refused (file_path varchar, line bigint, "
        "reason varchar, original_text varchar, break_count bigint)"
    )
    connection.execute(
        "create temp table if not exists doubtful "
        "(file_path varchar, line bigint, reason varchar, original_text varchar)"
    )


def read_spans(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    file: ReadableFile,
    record_count: int,
) -> SpannedLines | None:
    """Note a staged file's refused lines; return its lines that are no record of one line.

    Returns null where every line is a record or refused.
    """
    _find_refused_lines(connection, file)
    (refused_count, break_count) = connection.execute(
        "select count(*), coalesce(sum(break_count), 0) from refused where file_path = ?",
        [str(file.path)],
    ).fetchone()
    if record_count + refused_count == file.line_count and not break_count:
        return None
    return walk(mapping, file)


def walk(mapping: TableMapping, file: ReadableFile) -> SpannedLines:
    """Return a file's lines that are no record of one line, without any reader's help."""
    declared = mapping.declared
    shape = _shape(mapping, file)
    if file.format == "csv" and declared.quote and not holds_lines(file, declared):
        return spanned_lines(file.path, shape)
    doubts = long_lines(file.path, shape.header_lines) if file.has_long_line else []
    apart = {doubt.first for doubt in doubts}
    blanks = [line for line in blank_lines(file, declared) if line not in apart]
    return SpannedLines(doubts=doubts, blanks=blanks)


def set_doubts_apart(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    file: ReadableFile,
    spanned: SpannedLines | None,
    scratch: Path,
) -> ReadableFile:
    """Return a copy of a file whose lines in doubt the reader refuses; note them in `doubtful`.

    A file without any is returned as it is.
    """
    if spanned is None or not spanned.doubts:
        return file
    name = hashlib.sha256(file.file.name.encode()).hexdigest()[:16]
    copy = scratch / f"{name}.quotes.txt"
    connection.execute("delete from doubtful where file_path = ?", [str(copy)])
    noted: list[tuple[int, str, str]] = []

    def note() -> None:
        lines, reasons, texts = zip(*noted, strict=True)
        connection.execute(
            "insert into doubtful select ?, unnest(?::bigint[]), unnest(?::varchar[]), "
            "unnest(?::varchar[])",
            [str(copy), list(lines), list(reasons), list(texts)],
        )
        noted.clear()

    for line in write_without(file.path, spanned.doubts, _shape(mapping, file), copy):
        noted.append(line)
        if len(noted) == NOTED_LINES:
            note()
    if noted:
        note()
    return replace(file, path=copy)


def note_doubtful(connection: duckdb.DuckDBPyConnection, file: ReadableFile) -> None:
    """Note the refused lines of a copy made by `set_doubts_apart` with their reason and text."""
    _find_refused_lines(connection, file)
    connection.execute(
        "update refused set reason = doubtful.reason, original_text = doubtful.original_text "
        "from doubtful where refused.file_path = doubtful.file_path "
        "and refused.line = doubtful.line and refused.file_path = ?",
        [str(file.path)],
    )


def account_for_lines(
    connection: duckdb.DuckDBPyConnection,
    mapping: TableMapping,
    file: ReadableFile,
    record_count: int,
    spanned: SpannedLines | None,
) -> Account:
    """Account for every line of a staged file, or fail it: nothing may be swallowed.

    Raises:
        WinbackError: the records and lines do not add up.
    """
    rows = connection.execute(
        "select line from refused where file_path = ? order by line", [str(file.path)]
    ).fetchall()
    refused = [line for (line,) in rows]
    spanned = spanned or SpannedLines()
    header_lines = _header_lines(mapping, file)
    others = sorted({*refused, *spanned.blanks})
    breaks, passed = [], 0
    for line, count in spanned.spans:
        breaks.append((line - header_lines - bisect_left(others, line) - passed, count))
        passed += count
    blank_count = len(spanned.blanks)
    if record_count + passed + blank_count + len(refused) != file.line_count:
        raise WinbackError(
            f"{file.file.name}: its {file.line_count} lines cannot all be accounted for: "
            f"{record_count} records, {len(refused)} refused lines, {passed} line breaks in "
            f"values, {blank_count} blank lines. Look for quotes that are not closed, or declare "
            '`quote: ""` if the file quotes nothing.'
        )
    return Account(number_lines(header_lines, breaks, others), passed, blank_count)


def _shape(mapping: TableMapping, file: ReadableFile) -> Shape:
    declared = mapping.declared
    header_lines = _header_lines(mapping, file)
    if holds_lines(file, declared):
        # What is read as one field is split, and so refused, only by what no text holds.
        return Shape(NO_DELIMITER, "", 1, frozenset(), header_lines, 0)
    return Shape(
        declared.delimiter,
        declared.quote,
        len(file.header),
        mapping.typed_places(file),
        header_lines,
        declared.maximum_line_breaks,
    )


def _header_lines(mapping: TableMapping, file: ReadableFile) -> int:
    return int(file.format == "csv" and mapping.declared.header)


def _find_refused_lines(connection: duckdb.DuckDBPyConnection, file: ReadableFile) -> None:
    """Note the lines that the reader made no record of, with their place in the file.

    The reader counts records, so their lines follow from their byte positions.
    """
    if file.format == "parquet" or not file.line_count:
        return
    reasons = " ".join(f"when {literal(k)} then {literal(r)}" for k, r in REFUSALS.items())
    found = f"""
        select
            line_byte_position - 1 + length(csv_line) - length(ltrim(csv_line, {BREAKS}))
                as position,
            -- A line that is too long has no column.
            min_by(error_type::varchar, coalesce(column_idx, 0)) as error_type,
            any_value(trim(csv_line, {BREAKS})) as original_text
        from rejects join rejects_scan using (scan_id, file_id)
        where file_path = {literal(file.path)}
        group by all
    """
    positions = connection.execute(
        f"select distinct position from ({found}) order by position"
    ).fetchall()
    if not positions:
        return
    sorted_positions = [position for (position,) in positions]
    connection.execute(
        f"""
        insert into refused
        select
            {literal(file.path)}, line,
            case min(error_type) {reasons} else {literal(OTHER_REFUSAL)} end,
            any_value(original_text),
            any_value(length(original_text) - length(replace(original_text, chr(10), '')))
        from ({found})
        join (select unnest(?::bigint[]) as position, unnest(?::bigint[]) as line)
            using (position)
        group by line
        """,
        [sorted_positions, list(lines_at(file.path, sorted_positions))],
    )
    rows = connection.execute(
        "select line from refused where file_path = ? and reason = ? order by line",
        [str(file.path), REFUSALS["INVALID ENCODING"]],
    ).fetchall()
    if rows:
        lines = [line for (line,) in rows]
        connection.execute(
            "update refused set original_text = given.text from "
            "(select unnest(?::bigint[]) as line, unnest(?::varchar[]) as text) as given "
            "where refused.line = given.line and refused.file_path = ?",
            [lines, lines_of(file.path, lines), str(file.path)],
        )
