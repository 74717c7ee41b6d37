"""Which line of a text file each record stands on, and whether every line is accounted for.

The reader counts records. Lines differ from records where a value holds line breaks, a line is
blank, or the reader refused a line.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LineNumbers:
    """From record `from_record[i]` on a record's line is its number plus `shift[i]`.

    `other_count` is the number of lines that belong to no record.
    """

    from_record: list[int]
    shift: list[int]
    other_count: int

    def line_of(self, record: int) -> int:
        """Return the line on which a record (the first is 1) starts."""
        return record + self.shift[bisect_right(self.from_record, record) - 1]


def number_lines(
    header_lines: int, breaks: Iterable[tuple[int, int]], others: Iterable[int]
) -> LineNumbers:
    """Return the lines of records.

    Args:
        header_lines: Lines before the first record.
        breaks: (record, line breaks in its values) of the records that have some, in order.
        others: Lines that start no record: blank or refused. Those inside a value are passed over.
    """
    shift, other_count = header_lines, 0
    shifts = {1: shift}
    pending = sorted(set(others), reverse=True)

    def pass_lines_before(record: int | None) -> None:
        nonlocal shift, other_count
        while pending and (record is None or pending[-1] <= record + shift):
            from_record = pending.pop() - shift
            shift += 1
            other_count += 1
            shifts[max(1, from_record)] = shift

    for record, break_count in breaks:
        pass_lines_before(record)
        while pending and pending[-1] <= record + shift + break_count:
            pending.pop()
        shift += break_count
        shifts[record + 1] = shift
    pass_lines_before(None)
    return LineNumbers(list(shifts), list(shifts.values()), other_count)
