"""Records that span lines, and lines that no reader takes: none is taken while in doubt.

A stray quote makes one record of all lines up to the next quote, and such a record may well have
the right number of fields. So the lines of a record that could be several are none's: they are
kept apart with their text. Read only where a file's records and lines differ in number, or where
a line is too long for the reader.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from dagster_project.loading.text_files import (
    KEPT_CHARACTERS,
    LONGEST_LINE,
    TOO_LONG,
    is_long,
    open_bytes,
)

MISPLACED_QUOTE = "a quote is not closed, or stands inside a value"


@dataclass(frozen=True)
class Shape:
    """How a file's lines split: its delimiter and quote, and its number of fields.

    `typed` are the places (the first is 0) of fields that no line break may be in: numbers, dates
    and ids.
    """

    delimiter: str
    quote: str
    field_count: int
    typed: Set[int]
    header_lines: int
    maximum_line_breaks: int


@dataclass(frozen=True)
class Doubt:
    """Lines (the first is 1, both ends included) that may or may not be one record."""

    first: int
    last: int
    reason: str


@dataclass
class SpannedLines:
    """What the lines of a file are beside records of one line.

    `spans` gives the first line of each record that spans lines, and its line breaks.
    """

    spans: list[tuple[int, int]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    blanks: list[int] = field(default_factory=list)


class _State(Enum):
    CLOSED = 1
    OPEN = 2
    BROKEN = 3


@dataclass(frozen=True)
class _Split:
    """A line split into fields: where it leaves off, and the texts at its ends.

    `closed` is the text before the quote that closes the value the line starts in, `opened` the
    text after the quote that opens the value it ends in, else both are null.
    """

    state: _State
    field_count: int
    closed: str | None = None
    opened: str | None = None
    has_bare_quote: bool = False


class _Splitter:
    """Splits lines as the reader does: blanks may stand round a quoted value."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        quote = re.escape(shape.quote)
        self.start = re.compile(f" *{quote}")
        self.body = re.compile(f"((?:[^{quote}]++|{quote}{quote})*+)({quote} *)?")

    def split(self, line: str, *, is_inside: bool = False) -> _Split:
        """Split a line that starts inside a quoted value, or as a record does."""
        delimiter, place, count = self.shape.delimiter, 0, 1
        closed, has_bare_quote = None, False
        while True:
            start = None if is_inside else self.start.match(line, place)
            if is_inside or start:
                place = start.end() if start else place
                body = self.body.match(line, place)
                if body[2] is None:
                    return _Split(_State.OPEN, count, closed, body[1], has_bare_quote)
                if is_inside:
                    closed = body[1]
                is_inside = False
                place = body.end()
                if place < len(line) and not line.startswith(delimiter, place):
                    return _Split(_State.BROKEN, count, closed, None, has_bare_quote)
                end = place
            else:
                end = line.find(delimiter, place)
                end = len(line) if end < 0 else end
                has_bare_quote = has_bare_quote or line.find(self.shape.quote, place, end) >= 0
            if end >= len(line):
                return _Split(_State.CLOSED, count, closed, None, has_bare_quote)
            place, count = end + len(delimiter), count + 1

    def is_full(self, count: int, line: str) -> bool:
        """Return whether so many fields are as many as the header has, as the reader takes it."""
        fields = self.shape.field_count
        return count == fields or (
            count == fields + 1 and line.endswith(self.shape.delimiter) and fields > 1
        )

    def is_plainly_full(self, text: str | None) -> bool:
        """Return whether a text split at every delimiter has as many fields as the header."""
        return text is not None and self.is_full(text.count(self.shape.delimiter) + 1, text)

    def is_record(self, line: str) -> bool:
        """Return whether a line is a record of its own, with quotes only where they belong."""
        own = self.split(line)
        is_whole = own.state is _State.CLOSED and not own.has_bare_quote
        return is_whole and self.is_full(own.field_count, line)


@dataclass
class _Span:
    """A record being read that spans lines; `problem` is the first cause of doubt."""

    splitter: _Splitter
    first_line: int
    is_first_full: bool
    field_count: int
    byte_count: int
    problem: str | None = None
    break_count: int = 0

    @staticmethod
    def open(splitter: _Splitter, number: int, line: str, split: _Split) -> "_Span":
        """Start the span with the line whose quote stays open."""
        count = split.field_count + split.opened.count(splitter.shape.delimiter)
        is_full, size = splitter.is_full(count, line), len(line.encode(errors="surrogateescape"))
        span = _Span(splitter, number, is_full, split.field_count, size)
        if splitter.is_plainly_full(split.opened):
            span.problem = "a line inside the value looks like a record of its own"
        return span

    def add(self, line: str, text: bytes) -> _State:
        """Take the next line in; return whether the record goes on after it."""
        splitter, shape = self.splitter, self.splitter.shape
        self.break_count += 1
        self.byte_count += len(text) + len("\r\n")
        is_typed = self.field_count - 1 in shape.typed
        split = splitter.split(line, is_inside=True)
        self.field_count += split.field_count - 1
        inside = split.closed if split.closed is not None else split.opened
        own = splitter.split(line)
        if (
            splitter.is_plainly_full(inside)
            or splitter.is_plainly_full(split.opened)
            or splitter.is_record(line)
            or (
                self.is_first_full
                and own.state is _State.CLOSED
                and splitter.is_full(own.field_count, line)
            )
        ):
            self.doubt("a line inside the value looks like a record of its own")
        if is_typed:
            self.doubt("a number, date or id would hold a line break")
        if not _is_text(text):
            self.doubt("it is not UTF-8 text")
        if split.state is _State.BROKEN:
            self.doubt("the quote that closes it stands inside a value")
        if split.state is _State.CLOSED and not splitter.is_full(self.field_count, line):
            self.doubt(f"it would have {self.field_count} fields and not {shape.field_count}")
        if self.byte_count > LONGEST_LINE:
            self.doubt("it is longer than 2 MB")
        if self.break_count > shape.maximum_line_breaks:
            self.doubt(f"it has more than {shape.maximum_line_breaks} line breaks")
        return split.state

    def doubt(self, problem: str) -> None:
        """Note a cause of doubt, if it is the first."""
        self.problem = self.problem or problem

    def doubtful(self, last: int) -> Doubt:
        """Return the doubt about the span's lines."""
        return Doubt(
            self.first_line,
            last,
            f"lines {self.first_line} to {last} may be one record or several: {self.problem}. "
            f"Close, double or remove the quote in line {self.first_line}",
        )


def spanned_lines(path: Path, shape: Shape) -> SpannedLines:
    """Walk through a file's lines and tell which belong to a record that spans several."""
    found, splitter, span = SpannedLines(), _Splitter(shape), None
    quote, number = shape.quote.encode(), 0
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, 1):
            is_too_long = number > shape.header_lines and is_long(raw)
            is_plain = span is None and quote not in raw and not is_too_long
            if number <= shape.header_lines or is_plain:
                if (
                    shape.field_count > 1
                    and number > shape.header_lines
                    and raw in (b"\n", b"\r\n")
                ):
                    found.blanks.append(number)
                continue
            text = raw.rstrip(b"\r\n")
            line = text.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            if span is None:
                split = splitter.split(line)
                if is_too_long and split.state is not _State.OPEN:
                    found.doubts.append(Doubt(number, number, TOO_LONG))
                elif split.state is _State.BROKEN:
                    found.doubts.append(Doubt(number, number, MISPLACED_QUOTE))
                elif split.state is _State.OPEN:
                    span = _Span.open(splitter, number, line, split)
                    if not _is_text(text):
                        span.doubt("it is not UTF-8 text")
                continue
            if span.add(line, text) is _State.OPEN:
                continue
            if span.problem:
                found.doubts.append(span.doubtful(number))
            else:
                found.spans.append((span.first_line, span.break_count))
            span = None
    if span is not None:
        span.problem = "the quote is never closed"
        found.doubts.append(span.doubtful(number))
    return found


def long_lines(path: Path, header_lines: int) -> list[Doubt]:
    """Return the lines that are too long, of a file in which a quote has no meaning."""
    with open_bytes(path) as stream:
        return [
            Doubt(number, number, TOO_LONG)
            for number, raw in enumerate(stream, 1)
            if number > header_lines and is_long(raw)
        ]


def write_without(
    path: Path, doubts: Sequence[Doubt], shape: Shape, target: Path
) -> Iterator[tuple[int, str, str]]:
    """Copy a file with lines in doubt made such that the reader refuses each.

    Every other line keeps its number. Yields (line, reason, text) of those in doubt.
    """
    refused = shape.delimiter.join("x" * (shape.field_count + 1)).encode() + b"\n"
    pending = iter(doubts)
    doubt = next(pending, None)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_bytes(path) as stream, target.open("wb") as copy:
        for number, raw in enumerate(stream, 1):
            if doubt is None or number < doubt.first:
                copy.write(raw)
                continue
            ending = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
            copy.write(refused.replace(b"\n", ending))
            text = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            yield number, doubt.reason, text[:KEPT_CHARACTERS] if is_long(raw) else text
            if number == doubt.last:
                doubt = next(pending, None)


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeError:
        return False
    return True
