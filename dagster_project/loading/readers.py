"""Reading a source's files: finding them, taking their measure, and the SQL that yields records.

A record is one row of a file before any typing. Whatever the format, the SQL of `records_sql`
gives the columns `file_path`, `record_number` (within its file for Parquet, over all files of the
call if asked for, else null: rows come in the order of the files), `defect` (why the record has no
fields, else null), `original_text` (null where it can be put together from the fields) and `c0`,
`c1`, … in the order of the header.
"""

import codecs
import csv
import gzip
import hashlib
import importlib.metadata
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import duckdb

from dagster_project.config.sources import FileFormat
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.files import file_hash
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
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# No text holds this character, so a line read with it as delimiter stays whole.
NO_DELIMITER = "\x1f"
# SQL for what a blank line may hold.
BLANKS = "chr(32) || chr(9) || chr(13)"


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
        # A file's own name may hold a bracket.
        is_glob = any(character in expanded for character in "*?[") and not path.is_file()
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
    """Return the SHA-256 of a file's bytes; computed once while the file stays as it is."""
    status = path.stat()
    return _content_hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _content_hash(path: Path, size: int, changed_at: int) -> str:
    return file_hash(path)


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
    """Take a file's header and line count.

    A file that is not UTF-8, or that mixes line endings, is re-coded into `scratch`.

    Raises:
        WinbackError: the file cannot be read (truncated, damaged, in another encoding).
    """
    format_name = file_format(file, declared)
    try:
        if format_name == "parquet":
            return _measure_parquet(connection, file)
        path = file.path
        if declared.encoding != "utf-8" or not (lines := _count_lines(path)).has_one_ending:
            path = _recode(file, declared.encoding, scratch)
            lines = _count_lines(path)
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
        return ReadableFile(file, path, format_name, header, types, line_count)
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
        raise WinbackError(f"{file.name} cannot be read: {_first_line(error)}") from error


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
        fields = [f"{identifier(name)} as c{index}" for index, name in enumerate(first.header)]
        paths = _paths(file.path for file in files)
        relation = f"read_parquet({paths}, filename = true, file_row_number = true)"
    elif holds_lines(first, declared):
        original = "line"
        lines = _read_lines(files, declared.header and first.format == "csv", rejects)
        relation = f"(from {lines} where trim(line, {BLANKS}) <> '')"
        if first.format == "jsonl":
            defect = "case when not json_valid(line) then 'not valid JSON' end"
            valid = "case when json_valid(line) then line end"
            fields = [
                f"json_extract_string({valid}, {literal('$.' + identifier(key))}) as c{index}"
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
    with _open_bytes(file.path) as stream:
        return [number for number, line in enumerate(stream, 1) if not line.strip(blanks)]


def lines_at(path: Path, positions: Iterable[int]) -> Iterator[int]:
    """Yield the line (the first is 1) of each byte position; positions must be sorted."""
    line, passed = 1, 0
    with _open_bytes(path) as stream:
        for position in positions:
            while passed < position:
                chunk = stream.read(min(CHUNK_BYTES, position - passed))
                if not chunk:
                    break
                line += chunk.count(b"\n")
                passed += len(chunk)
            yield line


def lines_of(path: Path, numbers: Iterable[int]) -> list[str]:
    """Return the lines of those numbers, sorted; bytes that are no text are escaped."""
    wanted = set(numbers)
    with _open_bytes(path) as stream:
        return [
            line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            for number, line in enumerate(stream, 1)
            if number in wanted
        ]


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


@dataclass(frozen=True)
class _Lines:
    count: int
    has_one_ending: bool


def _count_lines(path: Path) -> _Lines:
    """Count the lines of a text file and tell whether they all end alike."""
    feeds = returns = pairs = 0
    last = b"\n"
    with _open_bytes(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            feeds += chunk.count(b"\n")
            returned = chunk.count(b"\r")
            if returned or last == b"\r":
                returns += returned
                pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
    return _Lines(feeds + (last != b"\n"), returns in (0, feeds) and returns == pairs)


def _recode(file: SourceFile, encoding: str, scratch: Path) -> Path:
    """Write a file anew as UTF-8 with one kind of line ending."""
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{hashlib.sha256(file.name.encode()).hexdigest()[:16]}.txt"
    codec = PYTHON_CODECS.get(encoding, encoding)
    if encoding == "utf-16":
        with _open_bytes(file.path) as stream:
            # Without a byte order mark it is little-endian, as Windows writes it.
            codec = "utf-16" if stream.read(2) in UTF_16_MARKS else "utf-16-le"
    # Lines that are not UTF-8 though declared so are rejected one by one later.
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    with (
        (gzip.open if file.path.suffix == ".gz" else open)(
            file.path, "rt", encoding=codec, errors=errors
        ) as text,
        target.open("w", encoding="utf-8", errors=errors, newline="") as recoded,
    ):
        while chunk := text.read(CHUNK_BYTES):
            recoded.write(chunk)
    return target


def _csv_header(path: Path, declared: FileFormat) -> tuple[str, ...]:
    if not declared.header:
        return declared.column_names
    opened = gzip.open if path.suffix == ".gz" else open
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


def _measure_parquet(connection: duckdb.DuckDBPyConnection, file: SourceFile) -> ReadableFile:
    columns = connection.execute(
        f"describe select * from read_parquet({_paths([file.path])})"
    ).fetchall()
    (line_count,) = connection.execute(
        f"select count(*) from read_parquet({_paths([file.path])})"
    ).fetchone()
    names, types = zip(*((name, kind) for name, kind, *_ in columns), strict=True)
    return ReadableFile(file, file.path, "parquet", names, types, line_count)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
