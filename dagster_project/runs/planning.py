"""Which business days a run has to load, and whether there is anything to do at all."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from dagster_project.config.source import Source
from dagster_project.errors import ConfigurationError
from dagster_project.loading.changes import changed_files, days_in
from dagster_project.loading.raw_tables import is_prepared
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect, fault


@dataclass(frozen=True)
class Plan:
    """Business days to load, both ends included, and whether any file is new or changed.

    `requested_at` is the moment for which all of it holds; the last day is the last complete one.
    """

    first: date
    last: date
    has_changes: bool
    requested_at: datetime


def resolve_as_of(source: Source, text: str | None, now: datetime) -> date:
    """Return the as-of date: the given one, else the source's last complete day at a moment.

    Raises:
        ConfigurationError: not a date, or outside the source's days.
    """
    last = source.last_complete_day(now)
    if last < source.first_day:
        raise ConfigurationError(
            f"{source.path.name}, first_day: {source.first_day} is not over yet in "
            f"{source.time_zone}; there is no complete day to answer for."
        )
    if text is None:
        return last
    try:
        given = date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--as-of {text}: not a date; write YYYY-MM-DD.") from None
    if not source.first_day <= given <= last:
        raise ConfigurationError(
            f"--as-of {text}: {source.name} has data from {source.first_day} to {last}; choose a "
            "day in between."
        )
    return given


def plan_load(
    paths: SourcePaths, source: Source, now: datetime, *, full_refresh: bool = False
) -> Plan:
    """Return the span of days that new and changed files touch, up to the last complete day.

    The span always ends with the last day, so that the calendar shows it as loaded; a first load
    and a full refresh span the whole calendar. Reads the dates of changed files only.
    """
    last = source.last_complete_day(now)
    whole = Plan(source.first_day, last, has_changes=True, requested_at=now)
    if full_refresh or not paths.warehouse.exists():
        return whole
    # The run itself looks closer, and makes a damaged one anew.
    if paths.doubt.exists() or fault(paths):
        return whole
    with connect(paths, read_only=True) as connection:
        if not is_prepared(connection):
            return whole
        loaded = connection.execute(
            "select max(ordered_on) from raw.load_days where ordered_on <= ?", [last]
        ).fetchone()[0]
        changes = changed_files(connection, source, paths)
        if loaded is None or len(changes.transactions) == changes.present_count:
            return replace(whole, has_changes=changes.any)
        touched = [loaded + timedelta(days=1)]
        if changes.transactions:
            days = days_in(connection, source, paths, changes.transactions)
            formerly = connection.execute(
                "select min(ordered_on) from raw.load_days where list_contains(?, source_file)",
                [[file.name for file in changes.transactions]],
            ).fetchone()[0]
            touched += [day for day in (days and days[0], formerly) if day]
    first = max(source.first_day, min(touched))
    return Plan(min(first, last), last, changes.any, now)
