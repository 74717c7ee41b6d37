"""Text files byte by byte: their lines counted, found and written anew in another encoding."""

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dagster_project.loading.files import SourceFile
from dagster_project.paths import SourcePaths

CHUNK_BYTES = 1 << 22
GZIP = zlib.MAX_WBITS | 16
# Of packed bytes, which may unpack to a thousand times as many.
PACKED_CHUNK_BYTES = 1 << 16
# DuckDB refuses a line of more than 2,000,000 bytes, its ending counted or not, and loses one that
# is longer than its buffer.
LONGEST_LINE = 1_999_990
TOO_LONG = "the line is longer than 2 MB"
# What is kept of a line that is too long.
KEPT_CHARACTERS = 10_000
# GB 18030 reads every GBK file, and the characters GBK lacks besides.
PYTHON_CODECS = {"utf-16": "utf-16", "latin-1": "latin-1", "gbk": "gb18030"}
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LineCount:
    """How many lines a text file has, whether they all end alike, whether one is too long.

    `byte_count` is the file's size, unpacked.
    """

    count: int
    has_one_ending: bool
    has_long_line: bool
    byte_count: int


def count_lines(path: Path) -> LineCount:
    """Count the lines of a text file; the last one may lack its end."""
    feeds = returns = pairs = size = 0
    last, unfinished = b"\n", 0
    with open_bytes(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            feeds += chunk.count(b"\n")
            returned = chunk.count(b"\r")
            if returned or last == b"\r":
                returns += returned
                pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
            size += len(chunk)
            if unfinished is not None:
                unfinished = _unfinished(chunk, unfinished)
    has_one_ending = returns in (0, feeds) and returns == pairs
    return LineCount(feeds + (last != b"\n"), has_one_ending, unfinished is None, size)


def _unfinished(chunk: bytes, before: int) -> int | None:
    """Return the bytes of the line that a chunk ends in; None if a line in it is too long.

    `before` are those of the line that it starts in.
    """
    begin = -before
    # From one line's end to the last that is within reach.
    while begin + LONGEST_LINE < len(chunk):
        end = chunk.rfind(b"\n", max(begin, 0), begin + LONGEST_LINE + 1)
        if end < 0:
            return None
        begin = end + 1
    end = chunk.rfind(b"\n")
    return len(chunk) - (begin if end < 0 else end + 1)


def is_long(line: bytes) -> bool:
    """Return whether a line, with its end, is too long for the reader."""
    return len(line) - line.endswith(b"\n") > LONGEST_LINE


def is_packed(path: Path) -> bool:
    """Return whether a file's name says that it is compressed."""
    return path.suffix.lower() == ".gz"


def is_padded(path: Path, byte_count: int) -> bool:
    """Return whether zeros follow the data of a packed file, as tapes and block devices add them.

    gzip passes over them; DuckDB does not. `byte_count` is the size of what is unpacked.
    """
    if not is_packed(path) or path.stat().st_size < 4:
        return False
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        ending = stream.read()
        # Packed data end with the size of what was packed, most often once in a file.
        if ending[-1:] != b"\0" or int.from_bytes(ending, "little") == byte_count % (1 << 32):
            return False
        stream.seek(0)
        packed = zlib.decompressobj(GZIP)
        while chunk := stream.read(PACKED_CHUNK_BYTES):
            while chunk:
                if packed.eof:
                    if chunk.startswith(b"\0"):
                        return True
                    packed = zlib.decompressobj(GZIP)
                packed.decompress(chunk)
                chunk = packed.unused_data
    return False


def lines_at(path: Path, positions: Iterable[int]) -> Iterator[int]:
    """Yield the line (the first is 1) of each byte position; positions must be sorted."""
    line, passed = 1, 0
    with open_bytes(path) as stream:
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
    with open_bytes(path) as stream:
        return [
            line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            for number, line in enumerate(stream, 1)
            if number in wanted
        ]


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, unpacked where its name ends in .gz."""
    return gzip.open(path, "rb") if is_packed(path) else path.open("rb")


def recode(file: SourceFile, encoding: str, scratch: Path) -> Path:
    """Write a file anew into `scratch`, as UTF-8 with one kind of line ending; return the copy.

    Raises:
        UnicodeError: it is not text in that encoding.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{hashlib.sha256(file.name.encode()).hexdigest()[:16]}.txt"
    codec = PYTHON_CODECS.get(encoding, encoding)
    if encoding == "utf-16":
        with open_bytes(file.path) as stream:
            # Without a byte order mark it is little-endian, as Windows writes it.
            codec = "utf-16" if stream.read(2) in UTF_16_MARKS else "utf-16-le"
    # Lines that are not UTF-8 though declared so are rejected one by one later.
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    with (
        (gzip.open if is_packed(file.path) else open)(
            file.path, "rt", encoding=codec, errors=errors
        ) as text,
        target.open("w", encoding="utf-8", errors=errors, newline="") as recoded,
    ):
        while chunk := text.read(CHUNK_BYTES):
            recoded.write(chunk)
    return target


def recoded_folder(paths: SourcePaths) -> Path:
    """Return the folder of files written anew; what is in it lives as long as one load."""
    return paths.spill / "recoded"
