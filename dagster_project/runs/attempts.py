"""Whether what is owed is asked for now: it depends on how the last run for it ended.

A run that would publish carries what it was made from as a tag, so that a block or a fault in the
configuration is not asked for again while nothing has changed. What was killed or failed is asked
for again after a while, for its cause may have gone by itself.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Literal

import dagster as dg

from dagster_project.config.source import Source
from dagster_project.errors import WinbackError
from dagster_project.loading.files import present_files
from dagster_project.paths import SourcePaths
from dagster_project.runs.bookkeeping import UNFINISHED, requested_at
from dagster_project.runs.run_notices import (
    CURRENT,
    WITNESSES,
    configuration_fault,
    gates_message,
)

# Tags of a run: a hash of files, configuration and program; which attempt at something it is.
CONTENT = "winback/content"
ATTEMPT = "winback/attempt"
# Dagster's documented tag of a run's key; a sensor's key is launched once and never again.
RUN_KEY = "dagster/run_key"
# After the first, second and each further failed attempt.
WAITS = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60))
# A look comes a little early or late; none shall be missed by seconds.
SLACK = timedelta(seconds=30)
# Events by which a run shows that it still works.
SIGNS = frozenset(
    {
        dg.DagsterEventType.RUN_START,
        dg.DagsterEventType.STEP_START,
        dg.DagsterEventType.STEP_SUCCESS,
    }
)
FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
# So many last runs are looked through for one that would have published.
LOOKED_THROUGH = 100

End = Literal["well", "terminated", "blocked", "misconfigured", "failed"]
WHAT_HAPPENED: dict[End, str] = {
    "well": "ended well without making a release of them current",
    "terminated": "was terminated by a person",
    "blocked": "was blocked by a gate",
    "misconfigured": "failed on a fault in the configuration",
}


@dataclass(frozen=True)
class Attempt:
    """A finished run that was to publish.

    `content` is that of its files, configuration and program, None if it died before it knew;
    `number` counts the attempts at the same thing; `ended_at` is its last sign of life.
    """

    run_id: str
    end: End
    content: str | None
    as_of: date
    number: int
    ended_at: datetime


def content_of(paths: SourcePaths, source: Source, code: str) -> str:
    """Return a hash of all that decides what a run does, but for the day it is asked for.

    Raises:
        WinbackError: A file is missing.
    """
    digest = hashlib.sha256(f"{source.settings_fingerprint()}\n{code}\n".encode())
    for table in sorted(source.tables):
        for file in present_files(source, paths, table):
            digest.update(f"{table}|{file.name}|{file.load_key}\n".encode())
    return digest.hexdigest()[:16]


def note_content(
    instance: dg.DagsterInstance, run: dg.DagsterRun, paths: SourcePaths, source: Source, code: str
) -> None:
    """Let a run that is to publish carry what it starts from, whoever asked for it."""
    if not _is_to_publish(run):
        return
    # What is missing is said by the step that needs it.
    with contextlib.suppress(WinbackError):
        instance.add_run_tags(run.run_id, {CONTENT: content_of(paths, source, code)})


def unfinished_run(instance: dg.DagsterInstance) -> str | None:
    """Return the id of a run that works, waits or is about to start."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)
    return runs[0].run_id if runs else None


def last_attempt(instance: dg.DagsterInstance, source: Source) -> Attempt | None:
    """Return the last finished run that was to publish."""
    finished = dg.RunsFilter(statuses=FINISHED)
    for record in instance.get_run_records(finished, limit=LOOKED_THROUGH):
        run = record.dagster_run
        if not _is_to_publish(run):
            continue
        entries = instance.all_logs(run.run_id, of_type={*WITNESSES, *SIGNS})
        # Others may record the end of a dead run, and long after it.
        signs = [
            entry.timestamp
            for entry in entries
            if entry.dagster_event_type != dg.DagsterEventType.RUN_FAILURE
        ]
        return Attempt(
            run_id=run.run_id,
            end=_end(run, [entry.get_dagster_event() for entry in entries]),
            content=run.tags.get(CONTENT),
            as_of=_as_of(run, instance, source),
            number=_number(run),
            ended_at=datetime.fromtimestamp(
                max(signs, default=record.end_time or record.create_timestamp.timestamp()), UTC
            ),
        )
    return None


def next_attempt(
    last: Attempt | None, content: str, *, as_of: date, now: datetime, source: Source
) -> int | str:
    """Return the number of the attempt that is due, or why none is.

    Args:
        last: The last finished run that was to publish.
        content: Hash of files, configuration and program as they are now.
        as_of: As-of date of the run that would be asked for.
        now: This moment.
        source: Says in which time zone people read.
    """
    if last is None or last.content not in (content, None):
        return 1
    until = "or at once when files, configuration or program change"
    if last.end == "failed":
        due = last.ended_at + WAITS[min(last.number, len(WAITS)) - 1]
        if now >= due - SLACK:
            return last.number + 1
        local = due.astimezone(source.schedule_zone)
        return (
            f"Run {last.run_id} failed or was killed (attempt {last.number}). It is asked for "
            f"again after {local:%Y-%m-%d %H:%M %Z}, {until}."
        )
    if last.content is None or (last.end == "well" and last.as_of < as_of):
        return 1
    return (
        f"Run {last.run_id} {WHAT_HAPPENED[last.end]}, with these very files, configuration and "
        "program; it is asked for again when one of them changes. Its page says what to do."
    )


def run_key(instance: dg.DagsterInstance, content: str, number: int) -> str:
    """Return the key of an attempt; Dagster has launched no run with it yet.

    The same content comes back, for instance when a file is put back as it was before.
    """
    keys = (f"{content}-{attempt}" for attempt in count(number))
    return next(
        key for key in keys if not instance.get_runs_count(dg.RunsFilter(tags={RUN_KEY: key}))
    )


def _is_to_publish(run: dg.DagsterRun) -> bool:
    """Return whether a run is of all assets, or of some that lead to a release."""
    if run.asset_selection:
        return CURRENT in run.asset_selection
    # Dagster writes all assets as none; checks alone are none as well.
    return not run.asset_check_selection


def _number(run: dg.DagsterRun) -> int:
    text = run.tags.get(ATTEMPT, "")
    return int(text) if text.isdecimal() and int(text) > 0 else 1


def _as_of(run: dg.DagsterRun, instance: dg.DagsterInstance, source: Source) -> date:
    """Return the as-of date that a run was asked for."""
    resources = run.run_config.get("resources", {})
    given = resources.get("source_run", {}).get("config", {}).get("as_of")
    # A run may have failed for the very date.
    with contextlib.suppress(TypeError, ValueError):
        return date.fromisoformat(given)
    return source.last_complete_day(requested_at(run, instance))


def _end(run: dg.DagsterRun, events: Iterable[dg.DagsterEvent]) -> End:
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "well"
    if run.status == dg.DagsterRunStatus.CANCELED:
        return "terminated"
    if gates_message(events) is not None:
        return "blocked"
    return "failed" if configuration_fault(events) is None else "misconfigured"
