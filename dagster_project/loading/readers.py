"""Reading a source's files: their measure, which are read together, and the SQL of their records.

A record is one row of a file before any typing. Whatever the format, the SQL of `records_sql`
gives the columns `file_path`, `record_number` (within its file for Parquet, over all files of the
call if asked for, else null: rows come in the order of the files), `defect` (why the record has no
fields, else null), `original_text` (null where it can be put together from the fields) and `c0`,
`c1`, … in the order of the header.
"""

import csv
import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from dagster_project.config.tables import FileFormat
from dagster_project.errors import ConfigurationError, WinbackError, first_line
from dagster_project.loading.files import SourceFile
from dagster_project.loading.text_files import (
    count_lines,
    is_packed,
    is_padded,
    open_bytes,
    recode,
)
from dagster_project.warehouse import literal

FORMATS_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# No text holds this character, so a line read with it as delimiter stays whole.
NO_DELIMITER = "\x1f"
# SQL for what a blank line may hold.
BLANKS = "chr(32) || chr(9) || chr(13)"
# Files of one header are read together up to this many bytes, which bounds the staging table.
BATCH_BYTES = 2 << 30
# What a column's name looks like; without a header line a first row may be taken for one.
COLUMN_NAME = re.compile(r"[^\W\d][^@]{0,60}")


@dataclass(frozen=True)
class ReadableFile:
    """A file as DuckDB can read it (re-coded where it must be), with its measure.

    `line_count` is the number of lines or rows without the header; `header` the column names.
    A line that is too long (`has_long_line`) must be set apart before DuckDB reads the file.
    """

    file: SourceFile
    path: Path
    format: str
    header: tuple[str, ...]
    column_types: tuple[str, ...]
    line_count: int
    has_long_line: bool = False

    @property
    def emptiness(self) -> str | None:
        """What is told of a file that holds no line; none of any other."""
        if self.line_count:
            return None
        has_header = self.path.stat().st_size > 0
        beside = "only its header" if has_header else "not even a header"
        return f"{self.file.name} holds no line of data, {beside}."


def readable_groups(
    connection: duckdb.DuckDBPyConnection,
    files: Iterable[SourceFile],
    declared: FileFormat,
    scratch: Path,
) -> list[list[ReadableFile]]:
    """Measure files and group those that one call can read: same header, bounded size.

    Raises:
        ConfigurationError: nothing tells the format of a file.
        WinbackError: a file cannot be read.
    """
    groups: dict[tuple, list[list[ReadableFile]]] = defaultdict(list)
    sizes: dict[tuple, int] = defaultdict(int)
    for file in files:
        readable = measure(connection, file, declared, scratch)
        if not readable.line_count:
            # Nothing to read; an empty file has not even a header to bind to.
            readable = replace(readable, header=(), column_types=())
        shape = (readable.format, readable.header, readable.column_types)
        size = readable.path.stat().st_size
        if not groups[shape] or sizes[shape] + size > BATCH_BYTES:
            groups[shape].append([])
            sizes[shape] = 0
        groups[shape][-1].append(readable)
        sizes[shape] += size
    return [group for batches in groups.values() for group in batches]


def file_format(file: SourceFile, declared: FileFormat) -> str:
    """Return csv, parquet or jsonl: as declared, else by the file's ending.

    Raises:
        ConfigurationError: neither tells the format.
    """
    if declared.format:
        return declared.format
    suffixes = [suffix for suffix in file.path.suffixes if suffix.lower() != ".gz"]
    guessed = FORMATS_BY_SUFFIX.get(suffixes[-1].lower()) if suffixes else None
    if guessed is None:
        raise ConfigurationError(
            f"The format of {file.name} cannot be told from its ending; declare "
            "`format: csv`, `parquet` or `jsonl`, or narrow `files`."
        )
    return guessed


def measure(
    connection: duckdb.DuckDBPyConnection, file: SourceFile, declared: FileFormat, scratch: Path
) -> ReadableFile:
    """Take a file's header and line count.

    A file that is not UTF-8, mixes line endings, or is padded, is re-coded into `scratch`.

    Raises:
        WinbackError: the file cannot be read (truncated, damaged, in another encoding).
    """
    format_name = file_format(file, declared)
    try:
        if format_name == "parquet":
            return _measure_parquet(connection, file)
        path = file.path
        if (
            declared.encoding != "utf-8"
            or not (lines := count_lines(path)).has_one_ending
            or is_padded(path, lines.byte_count)
        ):
            path = recode(file, declared.encoding, scratch)
            lines = count_lines(path)
        line_count = lines.count
        if format_name == "jsonl":
            header = _json_keys(connection, path)
        else:
            header = _csv_header(path, declared)
            if line_count and not header:
                raise WinbackError(
                    f"{file.name} starts with a blank line where its column names should be. "
                    "Remove the blank lines at its start."
                )
            line_count = max(0, line_count - declared.header)
        types = ("VARCHAR",) * len(header)
        return ReadableFile(file, path, format_name, header, types, line_count, lines.has_long_line)
    except csv.Error as error:
        raise WinbackError(
            f"{file.name} has a first line that cannot be split into column names: one, or what "
            "stands between two quotes, is longer than 131,072 characters: close or remove the "
            "quote, or give the columns shorter names."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WinbackError(
            f"{file.name} is damaged: its compressed data end early or are broken. "
            "Fetch the file again."
        ) from error
    except UnicodeError as error:
        raise WinbackError(
            f"{file.name} is not {declared.encoding} text. Declare its "
            "`encoding:` (utf-8, utf-16, latin-1 or gbk), or save it anew."
        ) from error
    except (duckdb.Error, OSError) as error:
        raise WinbackError(f"{file.name} cannot be read: {first_line(str(error))}") from error


def records_sql(
    files: list[ReadableFile], declared: FileFormat, rejects: str, *, numbered: bool = False
) -> str:
    """Return the SQL that yields the records of files with one and the same header.

    CSV lines whose number of fields is wrong, or that are not text, go to the reader's own
    tables `<rejects>` and `<rejects>_scan`. Numbering the records keeps the reader from working
    in parallel.
    """
    first = files[0]
    number = "row_number() over ()" if numbered else "null::bigint"
    defect = original = "null::varchar"
    if first.format == "parquet":
        number = "file_row_number + 1"
        # By their place, as everywhere: a file may name its columns as it likes.
        fields = [f"c{index}" for index in range(len(first.header))]
        paths = _paths(file.path for file in files)
        relation = (
            f"read_parquet({paths}, filename = true, file_row_number = true) "
            f"as given({', '.join(fields)})"
        )
    elif holds_lines(first, declared):
        original = "line"
        lines = _read_lines(files, declared.header and first.format == "csv", rejects)
        relation = f"(from {lines} where trim(line, {BLANKS}) <> '')"
        if first.format == "jsonl":
            defect = "case when not json_valid(line) then 'not valid JSON' end"
            valid = "case when json_valid(line) then line end"
            fields = [
                f"json_extract_string({valid}, {literal(_json_place(key))}) as c{index}"
                for index, key in enumerate(first.header)
            ]
        else:
            count = len(first.header)
            split = f"string_split_regex(trim(line, {BLANKS}), '\\s+')"
            defect = (
                f"case when len({split}) <> {count} "
                f"then 'expected {count} fields, found ' || len({split}) end"
            )
            fields = [f"{split}[{index + 1}] as c{index}" for index in range(count)]
    else:
        fields = [f"c{index}" for index in range(len(first.header))]
        columns = "{" + ", ".join(f"{literal(field)}: 'VARCHAR'" for field in fields) + "}"
        options = (
            f"delim = {literal(declared.delimiter)}, quote = {literal(declared.quote)}, "
            f"escape = {literal(declared.quote)}, header = {str(declared.header).lower()}"
        )
        relation = _read_csv(_paths(file.path for file in files), columns, options, rejects)
    return (
        f"select filename as file_path, {number} as record_number, {defect} as defect, "
        f"{original} as original_text, {', '.join(fields)} from {relation}"
    )


def original_text(file: ReadableFile, declared: FileFormat) -> str:
    """Return SQL for the text of a record, put together where the reader did not keep it."""
    if holds_lines(file, declared):
        return "original_text"
    if file.format != "csv":
        values = ", ".join(f"{literal(name)}, c{index}" for index, name in enumerate(file.header))
        return f"json_object({values})::varchar"
    delimiter, quote = declared.delimiter, declared.quote
    parts = []
    for index in range(len(file.header)):
        part = f"coalesce(c{index}, '')"
        if quote:
            doubled = f"replace({part}, {literal(quote)}, {literal(quote * 2)})"
            special = f"[{re.escape(delimiter + quote)}\r\n]"
            part = (
                f"case when regexp_matches({part}, {literal(special)}) "
                f"then {literal(quote)} || {doubled} || {literal(quote)} else {part} end"
            )
        parts.append(part)
    return f"concat_ws({literal(delimiter)}, {', '.join(parts)})"


def holds_lines(file: ReadableFile, declared: FileFormat) -> bool:
    """Whether a record is one line whatever it holds: JSON lines and columns set by blanks."""
    return file.format == "jsonl" or (file.format == "csv" and declared.delimiter == "whitespace")


def blank_lines(file: ReadableFile, declared: FileFormat) -> list[int]:
    """Return the numbers (the first is 1) of the lines that the reader passes over as blank."""
    if holds_lines(file, declared):
        blanks = b" \t\r\n"
    elif len(file.header) == 1:
        # An empty line is a record with an empty value.
        return []
    else:
        blanks = b"\r\n"
    with open_bytes(file.path) as stream:
        return [number for number, line in enumerate(stream, 1) if not line.strip(blanks)]


def _paths(paths: Iterable[Path]) -> str:
    """Return an SQL list of paths, in which characters that would be wildcards are taken as such.

    The reader reports the paths as they are.
    """
    return "[" + ", ".join(literal(re.sub(r"([*?\[])", r"[\1]", str(path))) for path in paths) + "]"


def _read_lines(files: Sequence[ReadableFile], header: bool, rejects: str | None) -> str:
    options = f"delim = '{NO_DELIMITER}', quote = '', escape = '', header = {str(header).lower()}"
    return _read_csv(_paths(file.path for file in files), "{'line': 'VARCHAR'}", options, rejects)


def _read_csv(paths: str, columns: str, options: str, rejects: str | None = None) -> str:
    kept = (
        f", store_rejects = true, rejects_limit = 0, rejects_table = '{rejects}', "
        f"rejects_scan = '{rejects}_scan'"
        if rejects
        else ""
    )
    # Auto-detection fails on small broken files and would type the columns by their luck.
    return (
        f"read_csv({paths}, auto_detect = false, columns = {columns}, {options}, "
        f"filename = true{kept})"
    )


def _csv_header(path: Path, declared: FileFormat) -> tuple[str, ...]:
    if not declared.header:
        return declared.column_names
    opened = gzip.open if is_packed(path) else open
    # What follows the header may be no text; such lines are rejected one by one later.
    with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        if declared.delimiter == "whitespace":
            names = text.readline().split()
        else:
            quoting = csv.QUOTE_MINIMAL if declared.quote else csv.QUOTE_NONE
            quote = declared.quote or None
            reader = csv.reader(
                text, delimiter=declared.delimiter, quotechar=quote, quoting=quoting
            )
            names = [name.strip() for name in next(reader, ())]
    "".join(names).encode()
    return tuple(names)


def _json_keys(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    options = f"delim = '{NO_DELIMITER}', quote = '', escape = '', header = false"
    # Lines that are no text are counted as rejects when the records are read.
    lines = _read_csv(_paths([path]), "{'line': 'VARCHAR'}", f"{options}, ignore_errors = true")
    rows = connection.execute(
        "select distinct unnest(json_keys(line)) as key from "
        f"(select line from {lines} where json_valid(line) and json_type(line) = 'OBJECT') "
        "order by key"
    ).fetchall()
    return tuple(key for (key,) in rows)


def _json_place(key: str) -> str:
    """Return the JSON pointer to a key, which may hold any character, or none."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _measure_parquet(connection: duckdb.DuckDBPyConnection, file: SourceFile) -> ReadableFile:
    columns = connection.execute(
        f"describe select * from read_parquet({_paths([file.path])})"
    ).fetchall()
    (line_count,) = connection.execute(
        f"select count(*) from read_parquet({_paths([file.path])})"
    ).fetchone()
    names, types = zip(*((name, kind) for name, kind, *_ in columns), strict=True)
    return ReadableFile(file, file.path, "parquet", names, types, line_count)


@contextmanager
def explained(group: Sequence[ReadableFile]) -> Iterator[None]:
    """Turn an error of the reader into one that names the file and quotes no value."""
    try:
        yield
    except duckdb.Error as error:
        # What follows the first line, or stands in quotes, may come from a row.
        problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", first_line(str(error)))[:200]
        if "state machine" in problem:
            problem = "a quote that opens in its last lines is never closed. Close or remove it."
        names = ", ".join(file.file.name for file in group[:3])
        raise WinbackError(f"{names} cannot be read: {problem}") from None


def drop_reader_tables(connection: duckdb.DuckDBPyConnection, name: str = "rejects") -> None:
    """Drop the reader's own tables of refused lines, which each call must find absent."""
    connection.execute(f"drop table if exists {name}; drop table if exists {name}_scan")


def columns_of(file: ReadableFile) -> str:
    """Return a sentence that names a file's columns, or says why it had better not."""
    if not file.header:
        return "It has no columns."
    if all(COLUMN_NAME.fullmatch(name) for name in file.header):
        return f"Its columns are {', '.join(file.header)}."
    return (
        f"Its first line holds {len(file.header)} values that do not look like names; if it is "
        "data, declare `header: false` and `column_names`."
    )
