"""Which notices are due after something happened: each event once, kept in the source's state.

Everything here is silent where no address is set, and never raises: a notice must not harm the run
that it tells of.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

import duckdb

from dagster_project.config.source import Source, load_source
from dagster_project.errors import ConfigurationError, WinbackError, first_line, read
from dagster_project.files import locked, write_json
from dagster_project.loading.feed import Silence, read_feeds
from dagster_project.notices.addresses import SECONDS, Notice, addresses, send
from dagster_project.paths import SourcePaths

LOG = logging.getLogger("winback.notices")
# For how long one process waits for another that is telling something of the same source.
PATIENCE_SECONDS = 1.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Trouble:
    """A run that a gate blocked, or that failed; the same `cause` is told once.

    `text` holds counts, ids of runs and the gate's or the configuration's own sentence.
    """

    kind: Literal["blocked", "failed"]
    cause: str
    text: str


@dataclass(frozen=True)
class Well:
    """A run that published a release, or found nothing new to publish."""

    release_id: str
    text: str
    is_new: bool


@dataclass(frozen=True)
class Told:
    """What has been told of a source and is not over; kept from run to run.

    `troubles` are those since a run last went well; `late` is, by table, the last day with data
    before the silence that was told.
    """

    published: str | None = None
    troubles: tuple[str, ...] = ()
    late: dict[str, str] = field(default_factory=dict)


def due(
    told: Told, source: str, happened: Trouble | Well | None, silences: Sequence[Silence]
) -> tuple[list[Notice], Told]:
    """Return the notices that are due, and what will have been told when they have arrived."""
    notices = []

    def add(kind: str, news: str, text: str) -> None:
        notices.append(Notice(kind, f"winback {source}: {news}", text))

    if isinstance(happened, Trouble):
        cause = hashlib.sha256(f"{happened.kind}|{happened.cause}".encode()).hexdigest()[:16]
        if cause not in told.troubles:
            add(happened.kind, happened.kind, happened.text)
            told = replace(told, troubles=(*told.troubles, cause))
    for silence in silences:
        last_day = silence.last_day.isoformat()
        if not silence.is_late or told.late.get(silence.table) == last_day:
            continue
        add(
            "late",
            "late",
            f"Nothing new for too long: {silence.words}. From {silence.limit} days on"
            f"{', closed days left out,' if silence.closed_days else ''} that is more than this "
            "source's pattern allows.\n"
            f"Look whether its files of {silence.table} still arrive in the landing folder of "
            f"{source}; then `winback run --source {source}`. Days on which the business was "
            "closed belong into `closed_days` of its file.",
        )
        told = replace(told, late={**told.late, silence.table: last_day})
    if isinstance(happened, Well):
        on_time = {silence.table for silence in silences if not silence.is_late}
        if told.troubles or on_time & told.late.keys():
            add("recovered", f"recovered, {happened.release_id} is current", happened.text)
        elif happened.is_new and happened.release_id != told.published:
            add("published", f"published {happened.release_id}", happened.text)
        still_late = {table: day for table, day in told.late.items() if table not in on_time}
        told = Told(happened.release_id, (), still_late)
    return notices, told


def tell(paths: SourcePaths, happened: Trouble | Well | None = None) -> list[str]:
    """Tell a person what happened, and whether the source is late, if that is new.

    Ends within ten seconds. What reached no address counts as not told, so that the next run or
    look tells it if it still holds.

    Returns:
        A line for the log for each address that did not take a notice, without its secrets.
    """
    try:
        if not addresses():
            return []
        faults = _tell(paths, happened, time.monotonic() + SECONDS)
    except Exception as error:
        # A notice never harms; what is wrong with it is for the log, which may be read by anyone.
        faults = [f"Notice not sent: {type(error).__name__}."]
    for fault in faults:
        LOG.warning(fault)
    return faults


@contextmanager
def telling_failures(paths: SourcePaths) -> Iterator[None]:
    """Tell of what fails before Dagster has a run, whose log would tell it."""
    try:
        yield
    except Exception as error:
        tell(paths, failed_early(read(error), paths.source))
        raise


def silences_of(paths: SourcePaths, source: Source, now: datetime) -> list[Silence]:
    """Return the silences of a live source's watched tables as raw has them; none if untold.

    That is a finished source, one without a day, and a warehouse that a run is writing just now:
    who looks next will see.
    """
    if source.kind != "live" or not paths.warehouse.exists():
        return []
    try:
        with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
            feeds = read_feeds(connection, source, source.last_complete_day(now))
    except duckdb.Error:
        return []
    return [feed.silence for feed in feeds]


def failed_early(error: WinbackError, source: str) -> Trouble:
    """Return the trouble of an error before a run: only a configuration's fault is quoted."""
    if isinstance(error, ConfigurationError):
        text = f"The configuration has a fault: {first_line(str(error))}"
    else:
        text = "It failed before its first step, most likely over a file."
    return Trouble("failed", str(error), f"{text}\nSee: `winback run --source {source}`.")


def _tell(paths: SourcePaths, happened: Trouble | Well | None, ends: float) -> list[str]:
    silences: list[Silence] = []
    # The source's file may be the very trouble.
    with contextlib.suppress(WinbackError):
        source = load_source(paths)
        silences = silences_of(paths, source, datetime.now(UTC))
    patience_ends = min(ends, time.monotonic() + PATIENCE_SECONDS)
    with locked(
        paths.notices.with_suffix(".lock"),
        poll_seconds=POLL_SECONDS,
        may_wait=lambda: time.monotonic() <= patience_ends,
    ) as is_alone:
        if not is_alone:
            return ["Notice not sent: another process is telling of the same source."]
        told = _read(paths)
        notices, after = due(told, paths.source, happened, silences)
        deliveries = send(notices, ends - time.monotonic()) if notices else []
        if after != told and (not notices or any(d.fault is None for d in deliveries)):
            write_json(paths.notices, asdict(after))
    kinds = ", ".join(notice.kind for notice in notices)
    return [
        f"Notice ({kinds}) not delivered to {d.name}: {d.fault}." for d in deliveries if d.fault
    ]


def _read(paths: SourcePaths) -> Told:
    try:
        kept = json.loads(paths.notices.read_text(encoding="utf-8"))
        return Told(kept["published"], tuple(kept["troubles"]), dict(kept["late"]))
    except (OSError, ValueError, LookupError, TypeError):
        # To be told twice is better than not at all.
        return Told()
