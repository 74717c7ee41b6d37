"""Every line of a file accounted for: by a record, or as refused, blank or inside a value."""

import duckdb

from dagster_project.config.tables import TableSource
from dagster_project.errors import WinbackError
from dagster_project.loading.lines import LineNumbers, number_lines
from dagster_project.loading.readers import (
    ReadableFile,
    blank_lines,
    drop_reader_tables,
    holds_lines,
    records_sql,
)
from dagster_project.loading.text_files import lines_at, lines_of
from dagster_project.warehouse import literal

# More line breaks inside one value than any comment field has: a quote was left open.
MAXIMUM_LINE_BREAKS = 50
BREAKS = "chr(10) || chr(13)"
# The reader's own words differ from version to version, and quote the line.
REFUSALS = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "INVALID ENCODING": "not UTF-8 text; declare the file's `encoding`",
    "UNQUOTED VALUE": "a quote is not closed, or stands inside a value",
    "LINE SIZE OVER MAXIMUM": "the line is longer than 2 MB",
}
OTHER_REFUSAL = "the line cannot be split into fields"


def prepare_refused(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the temporary table `refused`: one row a line that the reader made no record of."""
    connection.execute(
        "create or replace temp table refused (file_path varchar, line bigint, "
        "reason varchar, original_text varchar, break_count bigint)"
    )


def account_for_lines(
    connection: duckdb.DuckDBPyConnection,
    declared: TableSource,
    file: ReadableFile,
    record_count: int,
) -> LineNumbers:
    """Account for every line of a staged file, or fail it: nothing may be swallowed.

    Its refused lines are added to `refused`. Returns on which line each record stands.

    Raises:
        WinbackError: lines are left over; the message names where a stray quote most likely is.
    """
    _find_refused_lines(connection, file)
    rows = connection.execute(
        "select line, break_count, reason from refused where file_path = ? order by line",
        [str(file.path)],
    ).fetchall()
    refused = [line + n for line, breaks, _ in rows for n in range(breaks + 1)]
    swallowing = [line for line, breaks, reason in rows if breaks and "quote" in reason]
    header_lines = int(file.format == "csv" and declared.header)
    if record_count + len(refused) == file.line_count and not swallowing:
        return number_lines(header_lines, [], refused)
    breaks = _line_breaks(connection, declared, file)
    largest = max((count for _, count in breaks), default=0)
    blank = blank_lines(file, declared)
    numbers = number_lines(header_lines, breaks, [*refused, *blank])
    accounted = record_count + sum(n for _, n in breaks) + numbers.other_count
    if accounted == file.line_count and largest <= MAXIMUM_LINE_BREAKS and not swallowing:
        return numbers
    near = [numbers.line_of(record) for record, count in breaks if count == largest]
    place = f" in line {min([*swallowing, *near])}" if swallowing or near else ""
    raise WinbackError(
        f"{file.file.name}: its {file.line_count} lines cannot all be accounted for. Most "
        f"likely a stray quote{place} swallows the lines after it. Remove or double that "
        'quote, or declare `quote: ""` if the file quotes nothing.'
    )


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
            min_by(error_type::varchar, column_idx) as error_type,
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


def _line_breaks(
    connection: duckdb.DuckDBPyConnection, declared: TableSource, file: ReadableFile
) -> list[tuple[int, int]]:
    """Return (record, line breaks in its values) of the records that have some."""
    if file.format != "csv" or not declared.quote or holds_lines(file, declared):
        return []
    records = records_sql([file], declared, "second_rejects", numbered=True)
    counts = " + ".join(
        f"coalesce(length(c{i}) - length(replace(c{i}, chr(10), '')), 0)"
        for i in range(len(file.header))
    )
    drop_reader_tables(connection, "second_rejects")
    return connection.execute(
        f"select record_number, {counts} as break_count from ({records}) "
        "where break_count > 0 order by record_number"
    ).fetchall()
