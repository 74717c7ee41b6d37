"""Text files byte by byte: their lines counted, found and written anew in another encoding."""

import codecs
import gzip
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dagster_project.loading.files import SourceFile
from dagster_project.paths import SourcePaths

CHUNK_BYTES = 1 << 22
# GB 18030 reads every GBK file, and the characters GBK lacks besides.
PYTHON_CODECS = {"utf-16": "utf-16", "latin-1": "latin-1", "gbk": "gb18030"}
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LineCount:
    """How many lines a text file has, and whether they all end alike."""

    count: int
    has_one_ending: bool


def count_lines(path: Path) -> LineCount:
    """Count the lines of a text file; the last one may lack its end."""
    feeds = returns = pairs = 0
    last = b"\n"
    with open_bytes(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            feeds += chunk.count(b"\n")
            returned = chunk.count(b"\r")
            if returned or last == b"\r":
                returns += returned
                pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
    return LineCount(feeds + (last != b"\n"), returns in (0, feeds) and returns == pairs)


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
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


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
        (gzip.open if file.path.suffix == ".gz" else open)(
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
