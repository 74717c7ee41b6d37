"""Reading a source's files: finding them, taking their measure, and the SQL that yields records.

A record is one row of a file before any typing. Whatever the format, the SQL of `records_sql`
gives the columns `file_path`, `record_number` (counted over all files of the call in the text
formats, within the file in Parquet), `defect` (why the record has no fields, else null),
`original_text` (null where it can be put together from the fields) and `c0`, `c1`, … in the
order of the header.
"""

import csv
import gzip
import hashlib
import importlib.metadata
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import duckdb

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.sources import FileFormat
from dagster_project.warehouse import identifier, literal

CHUNK_BYTES = 1 << 22
FORMATS_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# GB 18030 reads every GBK file, and the characters GBK lacks besides.
PYTHON_CODECS = {"utf-16": "utf-16", "latin-1": "latin-1", "gbk": "gb18030"}
# No text holds this character, so a line read with it as delimiter stays whole.
NO_DELIMITER = "\x1f"


@dataclass(frozen=True)
class SourceFile:
    """A file of a source; `name` is its identity in raw and in every message."""

    name: str
    path: Path


@dataclass(frozen=True)
class ReadableFile:
    """A file as DuckDB can read it (re-coded where it must be), with its measure.

    `line_count` is the number of lines or rows without the header; `header` the column names.
    """

    file: SourceFile
    path: Path
    format: str
    header: tuple[str, ...]
    column_types: tuple[str, ...]
    line_count: int


def find_files(patterns: Iterable[str], landing: Path) -> list[SourceFile]:
    """Return the files that the patterns of a source name, sorted by name.

    A pattern is a path or glob, relative to the landing folder or absolute, may hold `${ENV}` or
    `${ENV:-default}`, or is `package:<distribution>/<path>` for a file of an installed package.

    Raises:
        ConfigurationError: a variable is not set.
        WinbackError: a path without wildcards, or a package, is missing.
    """
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        expanded = _expand(pattern)
        if expanded.startswith("package:"):
            file = _packaged(expanded.removeprefix("package:"))
            found[file.name] = file
            continue
        path = landing / Path(expanded).expanduser()
        is_glob = any(character in expanded for character in "*?[")
        matches = _glob(path) if is_glob else [path]
        if not is_glob and not path.is_file():
            raise WinbackError(
                f"The file {path} is missing. Put it there, or correct `files: {pattern}`."
            )
        for match in matches:
            inside = match.is_relative_to(landing)
            name = (match.relative_to(landing) if inside else match).as_posix()
            found[name] = SourceFile(name, match)
    return [found[name] for name in sorted(found)]


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_format(file: SourceFile, declared: FileFormat) -> str:
    """Return csv, parquet or jsonl: as declared, else by the file's ending.

    Raises:
        ConfigurationError: neither tells the format.
    """
    if declared.format:
        return declared.format
    suffixes = [suffix for suffix in file.path.suffixes if suffix != ".gz"]
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
    """Take a file's header and line count; re-code it into `scratch` if it is not UTF-8.

    Raises:
        WinbackError: the file cannot be read (truncated, damaged, in another encoding).
    """
    format_name = file_format(file, declared)
    try:
        if format_name == "parquet":
            return _measure_parquet(connection, file)
        path = file.path
        if declared.encoding != "utf-8":
            path = _recode(file, declared.encoding, scratch)
        line_count = _count_lines(path)
        if format_name == "jsonl":
            header = _json_keys(connection, path)
        else:
            header = _csv_header(path, declared)
            line_count = max(0, line_count - declared.header)
        types = ("VARCHAR",) * len(header)
        return ReadableFile(file, path, format_name, header, types, line_count)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WinbackError(
            f"{file.name} is damaged: its compressed data end early or are broken. "
            "Fetch the file again."
        ) from error
    except UnicodeDecodeError as error:
        raise WinbackError(
            f"{file.name} is not {declared.encoding} text (byte {error.start}). Declare its "
            "`encoding:` (utf-8, utf-16, latin-1 or gbk), or save it anew."
        ) from error
    except (duckdb.Error, OSError) as error:
        raise WinbackError(f"{file.name} cannot be read: {_first_line(error)}") from error


def records_sql(files: list[ReadableFile], declared: FileFormat, rejects: str) -> str:
    """Return the SQL that yields the records of files with one and the same header.

    CSV lines whose number of fields is wrong, or that are not text, go to the reader's own
    tables `<rejects>` and `<rejects>_scan`.
    """
    first = files[0]
    paths = "[" + ", ".join(literal(file.path) for file in files) + "]"
    if first.format == "parquet":
        fields = ", ".join(
            f"{identifier(name)} as c{index}" for index, name in enumerate(first.header)
        )
        return (
            "select filename as file_path, file_row_number + 1 as record_number, "
            f"null::varchar as defect, null::varchar as original_text, {fields} "
            f"from read_parquet({paths}, filename = true, file_row_number = true)"
        )
    if first.format == "csv" and declared.delimiter != "whitespace":
        fields = [f"c{index}" for index in range(len(first.header))]
        columns = "{" + ", ".join(f"{literal(field)}: 'VARCHAR'" for field in fields) + "}"
        nulls = ", ".join(literal(value) for value in ("", *declared.null_values))
        options = (
            f"delim = {literal(declared.delimiter)}, quote = {literal(declared.quote)}, "
            f"escape = {literal(declared.quote)}, header = {str(declared.header).lower()}, "
            f"nullstr = [{nulls}]"
        )
        return (
            "select filename as file_path, row_number() over () as record_number, "
            f"null::varchar as defect, null::varchar as original_text, {', '.join(fields)} "
            f"from {_read_csv(paths, columns, options, rejects)}"
        )
    header = str(first.format == "csv" and declared.header).lower()
    options = f"delim = '{NO_DELIMITER}', quote = '', escape = '', header = {header}"
    lines = _read_csv(paths, "{'line': 'VARCHAR'}", options, rejects)
    if first.format == "jsonl":
        defect = "case when not json_valid(line) then 'not valid JSON' end"
        fields = ", ".join(
            f"json_extract_string(case when json_valid(line) then line end, "
            f"{literal('$.' + identifier(key))}) as c{index}"
            for index, key in enumerate(first.header)
        )
    else:
        count = len(first.header)
        split = "string_split_regex(trim(line), '\\s+')"
        defect = (
            f"case when len({split}) <> {count} "
            f"then 'expected {count} fields, found ' || len({split}) end"
        )
        fields = ", ".join(f"{split}[{index + 1}] as c{index}" for index in range(count))
    return (
        f"select filename as file_path, row_number() over () as record_number, "
        f"{defect} as defect, line as original_text, {fields} from {lines} "
        "where trim(line) <> ''"
    )


def blank_line_count(path: Path) -> int:
    """Return how many lines of a text file hold nothing; the reader passes over them."""
    with _open_bytes(path) as stream:
        return sum(1 for line in stream if not line.strip())


def lines_of(path: Path, numbers: set[int]) -> dict[int, str]:
    """Return the lines of those numbers (the first is 1), bytes that are no text escaped."""
    with _open_bytes(path) as stream:
        return {
            number: line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            for number, line in enumerate(stream, 1)
            if number in numbers
        }


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


def _expand(pattern: str) -> str:
    def value(match: re.Match) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            raise ConfigurationError(
                f"The environment variable {name} of `files: {pattern}` is not set; "
                f"set it, or give it a default: ${{{name}:-path}}."
            )
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", value, pattern)


def _packaged(name: str) -> SourceFile:
    distribution, _, path = name.partition("/")
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        # A distribution's files start with its import name, which the pattern may repeat.
        if file.as_posix() in (path, name):
            return SourceFile(f"package:{name}", Path(str(file.locate())))
    raise WinbackError(
        f"The file package:{name} is missing: install the sample data with "
        "`pip install -c requirements.lock -e .[samples]`."
    )


def _glob(pattern: Path) -> list[Path]:
    anchor = Path(pattern.anchor)
    matches = anchor.glob(str(pattern.relative_to(anchor)))
    return [path for path in matches if path.is_file() and not path.name.startswith(".")]


def _open_bytes(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _count_lines(path: Path) -> int:
    lines, last = 0, b"\n"
    with _open_bytes(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")


def _recode(file: SourceFile, encoding: str, scratch: Path) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{hashlib.sha256(file.name.encode()).hexdigest()[:16]}.txt"
    opened = gzip.open if file.path.suffix == ".gz" else open
    with (
        opened(file.path, "rt", encoding=PYTHON_CODECS[encoding], newline="") as text,
        target.open("w", encoding="utf-8", newline="") as recoded,
    ):
        while chunk := text.read(CHUNK_BYTES):
            recoded.write(chunk)
    return target


def _csv_header(path: Path, declared: FileFormat) -> tuple[str, ...]:
    if not declared.header:
        return declared.column_names
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
        if declared.delimiter == "whitespace":
            return tuple(text.readline().split())
        quoting = csv.QUOTE_MINIMAL if declared.quote else csv.QUOTE_NONE
        reader = csv.reader(
            text, delimiter=declared.delimiter, quotechar=declared.quote or None, quoting=quoting
        )
        return tuple(name.strip() for name in next(reader, ()))


def _json_keys(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    lines = _read_csv(
        f"[{literal(path)}]",
        "{'line': 'VARCHAR'}",
        f"delim = '{NO_DELIMITER}', quote = '', escape = '', header = false",
    )
    rows = connection.execute(
        "select distinct unnest(json_keys(line)) as key from "
        f"(select line from {lines} where json_valid(line) and json_type(line) = 'OBJECT') "
        "order by key"
    ).fetchall()
    return tuple(key for (key,) in rows)


def _measure_parquet(connection: duckdb.DuckDBPyConnection, file: SourceFile) -> ReadableFile:
    columns = connection.execute(
        f"describe select * from read_parquet({literal(file.path)})"
    ).fetchall()
    (line_count,) = connection.execute(
        f"select count(*) from read_parquet({literal(file.path)})"
    ).fetchone()
    names, types = zip(*((name, kind) for name, kind, *_ in columns), strict=True)
    return ReadableFile(file, file.path, "parquet", names, types, line_count)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
