"""Days on which a business is closed, single or as ranges, as its source's file declares them."""

import re
from datetime import date, timedelta
from typing import Any

from dagster_project.config.tables import Part

EXAMPLE = "for example 2024-12-25 or 2024-12-24..2025-01-01"
# A longer one is a slip of the pen, and would keep everybody from noticing a dead feed.
LONGEST_RANGE_DAYS = 366
_DAY = r"\d{4}-\d{2}-\d{2}"


class ClosedDays(Part):
    """A range of days, both ends included."""

    first: date
    last: date

    def days(self) -> list[date]:
        """Return every day of the range."""
        count = (self.last - self.first).days + 1
        return [self.first + timedelta(days=number) for number in range(count)]


def read_closed_days(written: Any) -> tuple[ClosedDays, ...]:
    """Read a day, a range, or a list of them.

    Raises:
        ValueError: one of them is neither, or cannot be meant.
    """
    if written is None:
        return ()
    return tuple(_read(one) for one in (written if isinstance(written, list) else [written]))


def _read(written: Any) -> ClosedDays:
    text = str(written).strip()
    found = re.fullmatch(rf"({_DAY})(?:\s*\.\.\s*({_DAY}))?", text)
    if not found:
        raise ValueError(f"{text!r} is no day and no range of days; write {EXAMPLE}")
    first, last = found[1], found[2] or found[1]
    try:
        closed = ClosedDays(first=date.fromisoformat(first), last=date.fromisoformat(last))
    except ValueError:
        raise ValueError(f"{text!r} holds a day that no calendar has; correct it") from None
    if closed.last < closed.first:
        raise ValueError(f"{text!r} ends before it begins; write the first day first")
    if len(closed.days()) > LONGEST_RANGE_DAYS:
        raise ValueError(f"{text!r} is longer than a year; correct the year, or write it in parts")
    return closed
