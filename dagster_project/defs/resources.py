"""Dagster resources: the one run of a source, which holds its lock and its answers.

Belongs here: what every asset needs and must be given back when the run ends. What assets do with
it is in the plain modules they call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import duckdb
from pydantic import Field

from dagster_project.access import keep_to_owner
from dagster_project.config.source import Source, load_source
from dagster_project.errors import read
from dagster_project.interruption import watched
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import drop_unfinished
from dagster_project.release.identity import (
    CodeVersion,
    ReleaseIdentity,
    all_inputs,
    code_version,
    release_identity,
)
from dagster_project.release.ready import make_ready
from dagster_project.release.recover import recover
from dagster_project.runs.attempts import note_content
from dagster_project.runs.bookkeeping import fail_dead_runs, requested_at
from dagster_project.runs.locking import living_run, source_lock
from dagster_project.runs.planning import resolve_as_of
from dagster_project.runs.reserve import give_back_after_run, keep_reserve
from dagster_project.runs.retention import prune
from dagster_project.runs.room import check_room
from dagster_project.warehouse import connect


@dataclass(frozen=True)
class Run:
    """One run of a source: what is asked once, when it starts, and the same for every step.

    Neither midnight nor an edited file gives a later step another answer. `today` and
    `last_complete_day` are those of the moment at which the run was requested.
    """

    paths: SourcePaths
    source: Source
    as_of: date
    today: date
    last_complete_day: date
    code: CodeVersion
    is_full_refresh: bool
    is_made_current: bool

    def identity(self, connection: duckdb.DuckDBPyConnection) -> ReleaseIdentity:
        """Return the release that the warehouse's files give in this run."""
        return release_identity(self.source, self.as_of, self.code, all_inputs(connection))


class SourceRun(dg.ConfigurableResource[Run]):
    """The one run that works on a source; every asset of the warehouse requires it.

    Holds the source's lock from start to end of the run, clears what killed and old runs left,
    and carries the settings of this run, which the Launchpad lets a person change.
    """

    source_name: str = Field(description="Name of the source, as in data/sources/<name>.yml")
    data_dir: str = Field(description="Data directory")
    as_of: str | None = Field(
        default=None, description="As-of date YYYY-MM-DD; by default the last complete day"
    )
    make_current: bool = Field(
        default=False,
        description=(
            "Make the release current even if its as-of date is before the current one's, or if it "
            "was rolled back from"
        ),
    )
    full_refresh: bool = Field(
        default=False,
        description=(
            "Read every file and compute every day anew; fewer lines than published are accepted"
        ),
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Run]:
        """Hold the lock for the whole run; see the class."""
        paths, log = SourcePaths(Path(self.data_dir), self.source_name), context.log
        keep_to_owner(paths)
        with (
            # A run that Dagster's daemon starts has no command line that does.
            watched(),
            living_run(paths, context.run.run_id),
            source_lock(paths, lambda text: log.warning(text)),
        ):
            for run_id in fail_dead_runs(paths, context.instance):
                log.warning(f"Run {run_id} had died; it is marked as failed.")
            recover(paths, log.warning)
            run = self._answers(paths, requested_at(context.run, context.instance))
            make_ready(paths, run.source, log.warning)
            note_content(context.instance, context.run, paths, run.source, run.code.text)
            # Before anything waits for what another program holds.
            with connect(paths):
                pass
            kept = run.source.settings
            try:
                prune(paths, context.instance, days=kept.kept_days, count=kept.kept_runs)
            except Exception as error:
                # Old logs are no reason for a morning without a release; the next run tries again.
                log.warning(f"What old runs left could not be deleted: {read(error)}")
            # Before any step fills the disk.
            warning = check_room(paths, run.source)
            if warning:
                log.warning(warning)
            else:
                keep_reserve(paths)
            try:
                yield run
            finally:
                # A failed run gives back at once what it took; the next start would.
                drop_unfinished(paths)
                give_back_after_run(paths)

    def _answers(self, paths: SourcePaths, now: datetime) -> Run:
        source = load_source(paths)
        return Run(
            paths=paths,
            source=source,
            as_of=resolve_as_of(source, self.as_of, now),
            today=source.today(now),
            last_complete_day=source.last_complete_day(now),
            code=code_version(),
            is_full_refresh=self.full_refresh,
            is_made_current=self.make_current,
        )
