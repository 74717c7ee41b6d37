"""How the feed of a table stands as of a day, against its own pattern of the last eight weeks.

Watched are the transactions and what else keeps a customer from being lost by the source's churn
definition: without it all of them would seem to be leaving. This is the one place that says how
long a silence is usual, and from when it is too long. Gates, notices, the checks of freshness, the
manifest and the terminal all take it from here. A day has data if it has a line that counts; days
on which the source's file says it is closed are expected to have none.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import mean, median

import duckdb

from dagster_project.config.source import Source
from dagster_project.errors import counted
from dagster_project.warehouse import literal

PATTERN_DAYS = 56
# A feed that is as quiet as this is dead, whatever its pattern.
LEAST_LIMIT_DAYS = 7
# How often the longest usual silence may pass.
TIMES = 3
# From fewer days, the first with data to the last, no pattern is sure enough to block.
LEAST_LOADED_DAYS = 28
# A weekday on which so many of the last eight weeks had data is expected to have some.
USUAL_SHARE = 0.75
# A feed has dropped if it brings less than this share of what it usually does; of fewer lines than
# these chance alone makes as much.
DROP_SHARE = 0.25
LEAST_USUAL_LINES = 10
WEEK = 7
TRANSACTIONS, INTERACTIONS = "transactions", "interactions"
# Of interactions those count that the customer did, as in `stg_interactions`: what the firm sends
# goes on when nobody records the visits any more.
BY_CUSTOMER = """
interaction_type in (
    'visit', 'login', 'message_opened', 'message_clicked', 'complaint', 'ticket', 'review',
    'survey', 'contact_request', 'referral', 'cart_abandoned'
)
or (interaction_type = 'call' and direction is distinct from 'outbound')"""
# Lines that count, by file and business date.
LINES = {
    TRANSACTIONS: "select source_file, ordered_on as day, used_row_count as lines "
    "from raw.load_days where used_row_count > 0",
    INTERACTIONS: "select source_file, count(*) as lines, "
    "timezone({zone}, timezone('UTC', occurred_at))::date as day "
    f"from raw.interactions where {BY_CUSTOMER} group by all",
}


@dataclass(frozen=True)
class Silence:
    """The days without data at the end of what is known of a table as of a day.

    `days` follow `last_day`, up to the as-of date; `closed_days` and `unusual_days` are among them.
    `limit` is how many of them, closed ones left out, are too long; a finished source has none.
    While the pattern is not sure (`is_sure`) too long a silence blocks nothing. `newer_files` came
    after the file of the last day, `empty_files` of them without a line.
    """

    as_of: date
    last_day: date
    days: int = 0
    closed_days: int = 0
    unusual_days: tuple[date, ...] = ()
    limit: int | None = None
    is_sure: bool = True
    newer_files: int = 0
    empty_files: int = 0
    table: str = TRANSACTIONS

    @property
    def open_days(self) -> int:
        """The silent days on which the business was not closed."""
        return self.days - self.closed_days

    @property
    def is_late(self) -> bool:
        """Whether it is longer than the source's pattern allows."""
        return self.limit is not None and self.open_days >= self.limit

    @property
    def is_usual(self) -> bool:
        """Whether days without data, if there are any, are nothing new for this source."""
        return not self.unusual_days and not self.is_late

    @property
    def words(self) -> str:
        """What a person is told of it."""
        if not self.days:
            return f"{self.table}: data up to {self.last_day}, the as-of date"
        closed = f", {self.closed_days} of them closed" if self.closed_days else ""
        empty = f", {self.empty_files} of them without a line" if self.empty_files else ""
        came = f"{counted('file', self.newer_files)} came after the one with that day{empty}"
        return (
            f"{self.table}: last data {self.last_day}; {counted('day', self.days)} without any "
            f"up to {self.as_of}{closed}; {came}"
        )

    def facts(self) -> dict[str, str | int]:
        """Return what the manifest and Dagster's metadata hold of it."""
        return {
            "last_day_with_data": self.last_day.isoformat(),
            "days_without_data": self.days,
            "closed_days_without_data": self.closed_days,
        }


@dataclass(frozen=True)
class Volume:
    """Lines of the last day with data and of the seven days up to it, each beside what is usual.

    A usual is null where too little is known, or too few lines are usual, to tell a drop.
    """

    day_lines: int
    usual_day_lines: float | None
    week_lines: int
    usual_week_lines: float | None


@dataclass(frozen=True)
class Feed:
    """Silence and volume of one of a source's tables as of a day."""

    silence: Silence
    volume: Volume


def watched_tables(source: Source) -> list[str]:
    """Return the tables whose silence would make a source's customers look lost."""
    is_by_interaction = source.churn_basis != "purchase" and INTERACTIONS in source.tables
    return [TRANSACTIONS, *([INTERACTIONS] if is_by_interaction else [])]


def read_feeds(connection: duckdb.DuckDBPyConnection, source: Source, as_of: date) -> list[Feed]:
    """Return how a source's watched tables stand as of a day; see `read_feed`."""
    feeds = (read_feed(connection, source, as_of, table) for table in watched_tables(source))
    return [feed for feed in feeds if feed is not None]


def read_feed(
    connection: duckdb.DuckDBPyConnection, source: Source, as_of: date, table: str = TRANSACTIONS
) -> Feed | None:
    """Return how the feed of a source's table stands as of a day by what raw holds.

    None where raw holds no line that counts from the source's first day up to that day.
    """
    lines_that_count = LINES[table].format(zone=literal(source.time_zone))
    rows = connection.execute(
        f"""
        with days as materialized (
            select * from ({lines_that_count}) where day between $first_day and $as_of
        ),
        files as (
            select source_file, line_count, delivered_at
            from raw.loads where table_name = $table
        ),
        last_file as (
            select delivered_at, source_file
            from files
            join days using (source_file)
            where day = (select max(day) from days)
            order by all desc limit 1
        ),
        newer as (
            select count(*) as newer, count(*) filter (files.line_count = 0) as empty
            from files, last_file
            -- Files that came at once are told apart by their names.
            where (files.delivered_at, files.source_file)
                > (last_file.delivered_at, last_file.source_file)
        )
        select day, sum(lines)::bigint, any_value(newer), any_value(empty)
        from days cross join newer
        group by day
        """,
        {"first_day": source.first_day, "as_of": as_of, "table": table},
    ).fetchall()
    if not rows:
        return None
    lines = {day: count for day, count, _, _ in rows}
    *_, newer, empty = rows[0]
    is_live = source.kind == "live"
    silence = silence_after(
        lines,
        as_of,
        closed=source.days_closed,
        is_live=is_live,
        declared_limit=source.limits.maximum_silent_days,
        newer_files=newer,
        empty_files=empty,
        table=table,
    )
    return Feed(silence, volume_of(lines, closed=source.days_closed, is_live=is_live))


def silence_after(
    with_data: Collection[date],
    as_of: date,
    *,
    closed: Collection[date] = (),
    is_live: bool = True,
    declared_limit: int | None = None,
    newer_files: int = 0,
    empty_files: int = 0,
    table: str = TRANSACTIONS,
) -> Silence:
    """Return the silence at the end of the days with data, of which there is one at least.

    The pattern is that of the eight weeks up to the last day with data: the present silence is no
    part of its own measure. The limit is, unless declared, the greater of 7 days and three times
    the longest silence in them. A day of the silence is unusual if its weekday has data in three of
    four of those weeks, if the silence is longer on it than any in them, or over the limit.

    Args:
        with_data: Days with data; those after the as-of date do not count.
        as_of: The last day that is asked about.
        closed: Days on which the business is closed.
        is_live: Whether data are expected to keep arriving.
        declared_limit: The source's own limit.
        newer_files: How many files came after that of the last day.
        empty_files: How many of these hold no line.
        table: The table they are days of.
    """
    known = {day for day in with_data if day <= as_of}
    first, last = min(known), max(known)
    silent = list(_days(last + timedelta(days=1), as_of))
    closed_count = sum(day in closed for day in silent)
    files = {"newer_files": newer_files, "empty_files": empty_files, "table": table}
    if not is_live:
        return Silence(as_of, last, len(silent), closed_count, **files)
    window = [
        day
        for day in _days(max(first, last - timedelta(days=PATTERN_DAYS - 1)), last)
        if day in known or day not in closed
    ]
    longest = _longest_silence(window, known)
    limit = declared_limit or max(LEAST_LIMIT_DAYS, TIMES * longest)
    is_known = (last - first).days + 1 >= LEAST_LOADED_DAYS
    unusual = []
    for number, day in enumerate((day for day in silent if day not in closed), start=1):
        alike = [other in known for other in window if other.weekday() == day.weekday()]
        is_expected = bool(alike) and mean(alike) >= USUAL_SHARE
        if is_expected or (is_known and number > longest) or number >= limit:
            unusual.append(day)
    is_sure = is_known or declared_limit is not None
    return Silence(as_of, last, len(silent), closed_count, tuple(unusual), limit, is_sure, **files)


def volume_of(
    lines: Mapping[date, int], *, closed: Collection[date] = (), is_live: bool = True
) -> Volume:
    """Return the lines of the last day with data and of the seven days up to it, with the usual.

    A day's usual is the median of its weekday in the eight weeks before it, a week's the sum of its
    weekdays' means in the seven weeks before it. Days after the last are a silence and no drop.

    Args:
        lines: Lines by day, of days with data.
        closed: Days on which the business is closed.
        is_live: Whether data are expected to keep arriving.
    """
    first, last = min(lines), max(lines)
    week = list(_days(last - timedelta(days=WEEK - 1), last))
    before = list(_days(max(first, last - timedelta(days=PATTERN_DAYS)), last - timedelta(days=1)))

    def alike(day: date, days: Collection[date]) -> list[int]:
        """Return the lines of those of the days that are of a day's weekday."""
        same = [other for other in days if other.weekday() == day.weekday()]
        return [lines.get(other, 0) for other in same if other in lines or other not in closed]

    usual_day = usual_week = None
    if is_live and (last - first).days >= LEAST_LOADED_DAYS + WEEK:
        if last not in closed:
            usual_day = _usual(median(alike(last, before) or [0]))
        earlier = [day for day in before if day < week[0]]
        due = [day for day in week if day in lines or day not in closed]
        usual_week = _usual(sum(mean(alike(day, earlier) or [0]) for day in due))
    return Volume(lines[last], usual_day, sum(lines.get(day, 0) for day in week), usual_week)


def _usual(lines: float) -> float | None:
    return float(lines) if lines >= LEAST_USUAL_LINES else None


def _longest_silence(days: Collection[date], known: Collection[date]) -> int:
    longest = length = 0
    for day in days:
        length = 0 if day in known else length + 1
        longest = max(longest, length)
    return longest


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)
