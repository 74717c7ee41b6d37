"""How long a live source has brought nothing, against its own pattern."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import duckdb

from dagster_project.config.source import Source
from dagster_project.paths import SourcePaths

LEAST_LIMIT_DAYS = 7
PATTERN_DAYS = 56
# How often the longest usual silence may pass before it counts.
TIMES = 3


@dataclass(frozen=True)
class Silence:
    """Days without a line since the last day with one, up to the last complete day."""

    last_day: date
    days: int
    limit: int

    @property
    def is_late(self) -> bool:
        """Whether nothing new has come for longer than the source's pattern allows."""
        return self.days > self.limit


def silence_after(with_data: Collection[date], last_complete: date) -> Silence | None:
    """Return the silence at the end of the days with data; None where there are none.

    The limit is the greater of 7 days and three times the longest silence within the last 56 days
    up to the last day with data: the present silence is no part of its own measure.
    """
    days = sorted(day for day in with_data if day <= last_complete)
    if not days:
        return None
    last = days[-1]
    recent = [day for day in days if day > last - timedelta(days=PATTERN_DAYS)]
    silences = [(day - former).days - 1 for former, day in pairwise(recent)]
    limit = max(LEAST_LIMIT_DAYS, TIMES * max(silences, default=0))
    return Silence(last, (last_complete - last).days, limit)


def read_silence(paths: SourcePaths, source: Source, last_complete: date) -> Silence | None:
    """Return a live source's silence as raw has it; None where it cannot be told.

    That is a finished source, one without a day, and a warehouse that a run is writing just now:
    who looks next will see.
    """
    if source.kind != "live" or not paths.warehouse.exists():
        return None
    try:
        with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
            days = connection.execute(
                "select distinct ordered_on from raw.load_days where row_count > 0"
            ).fetchall()
    except duckdb.Error:
        return None
    return silence_after([day for (day,) in days], last_complete)
