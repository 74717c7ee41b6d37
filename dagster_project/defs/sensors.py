"""Dagster sensors: files that arrive or change between the mornings, and work that was not done."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from dagster_project.config.source import Source, load_source
from dagster_project.defs.jobs import DAILY, is_unattended, request
from dagster_project.defs.schedules import MORNING_RUN
from dagster_project.errors import ConfigurationError, read
from dagster_project.loading.files import find_files, stamp
from dagster_project.notices.tell import failed_early, tell
from dagster_project.paths import SourcePaths
from dagster_project.release.identity import (
    CodeVersion,
    all_inputs,
    code_version,
    release_identity,
)
from dagster_project.release.state import Release, current_release, find_answer, find_release
from dagster_project.release.verify import is_to_mend
from dagster_project.runs.attempts import (
    ATTEMPT,
    CONTENT,
    Attempt,
    content_of,
    last_attempt,
    next_attempt,
    run_key,
    unfinished_run,
)
from dagster_project.runs.bookkeeping import fail_dead_runs
from dagster_project.runs.planning import Plan, plan_load, resolve_as_of
from dagster_project.shown import shown
from dagster_project.warehouse import connect

INTERVAL_SECONDS = 300


def landing_sensor(source: Source, paths: SourcePaths) -> dg.SensorDefinition:
    """Return the sensor; it is off until someone turns it on in the UI."""

    @dg.sensor(
        name="landing_files",
        job_name=DAILY,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if is_unattended() else dg.DefaultSensorStatus.STOPPED
        ),
        description=(
            "Looks every five minutes whether what is there is published, and else requests one "
            "run over the span of days that new and changed files touch. Files must have kept "
            "still between two looks. A run that was killed or failed is requested again after "
            "5, 15 and 60 minutes, then hourly; one that a gate or the configuration stopped, when "
            "files, configuration or program have changed."
        ),
    )
    def landing_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            return _look(context, paths)
        except Exception as error:
            fault = read(error)
            # A fault of the configuration stays until a person mends it; others pass.
            if isinstance(fault, ConfigurationError):
                tell(paths, failed_early(fault, paths.source))
            if fault.details:
                context.log.error(fault.details)
            return dg.SkipReason(str(fault))

    return landing_files


def _look(context: dg.SensorEvaluationContext, paths: SourcePaths) -> dg.RunRequest | dg.SkipReason:
    """Return a request for a run, or why there is none to ask for."""
    now, instance = datetime.now(UTC), context.instance
    for run_id in fail_dead_runs(paths, instance):
        context.log.warning(f"Run {run_id} had died; it is marked as failed.")
    source = load_source(paths)
    # Where nothing arrives no run starts that would notice.
    tell(paths)
    resolve_as_of(source, None, now)
    seen = _signature(source, paths)
    # The cursor is what the last look saw, not what was asked for: that may not have come to pass.
    if context.cursor != seen:
        context.update_cursor(seen)
        return dg.SkipReason("Files have changed; waiting whether they keep still.")
    working = unfinished_run(instance)
    if working:
        return dg.SkipReason(f"Run {working} is working; the next look is after it.")
    patterns = source.tables["transactions"].files
    if not find_files(patterns, paths.landing) and current_release(paths) is None:
        return dg.SkipReason(shown(f"No file has come yet that matches {', '.join(patterns)}."))
    plan, code = plan_load(paths, source, now), code_version()
    last = last_attempt(instance, source)
    published = None if plan.has_changes else _published(paths, source, plan, code, last, instance)
    if published is not None:
        left = ", which was rolled back from" if published.is_rolled_back else ""
        return dg.SkipReason(f"Nothing to do: the files are those of {published.release_id}{left}.")
    content = content_of(paths, source, code.text)
    if last is not None and last.end == "well" and is_to_mend(paths):
        # What that run published has been damaged since; a failed one is tried again anyhow.
        content += "-mend"
    due = next_attempt(last, content, as_of=plan.last, now=now, source=source)
    if isinstance(due, str):
        return dg.SkipReason(due)
    asked = request(plan)
    asked["tags"] |= {CONTENT: content, ATTEMPT: str(due)}
    return dg.RunRequest(run_key=run_key(instance, content, due), **asked)


def _published(
    paths: SourcePaths,
    source: Source,
    plan: Plan,
    code: CodeVersion,
    last: Attempt | None,
    instance: dg.DagsterInstance,
) -> Release | None:
    """Return the release that leaves nothing to do while no file differs from raw; None if none.

    Raw is not published because it is loaded; nor is a day, or an edited setting, because a run was
    asked for it.
    """
    with connect(paths, read_only=True) as connection:
        inputs = all_inputs(connection)
    identity = release_identity(source, plan.last, code, inputs)
    release = find_answer(paths, identity.input_fingerprint)
    if release is None:
        return None
    # A run as of a day before the release's was a person's question of the past.
    if last is not None and last.end != "well" and last.as_of >= release.as_of:
        wanted = find_release(paths, replace(identity, as_of=last.as_of).release_id)
        if wanted is None or not (wanted.is_current or wanted.is_rolled_back):
            return None
    morning = _morning_without_run(instance)
    if morning is not None and source.last_complete_day(morning) > release.as_of:
        return None
    return release


def _morning_without_run(instance: dg.DagsterInstance) -> datetime | None:
    """Return the moment of the schedule's last tick if it could not ask for a run."""
    for state in instance.all_instigator_state():
        if state.name == MORNING_RUN and state.is_running:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            if ticks and ticks[0].is_completed and not ticks[0].is_success:
                return datetime.fromtimestamp(ticks[0].timestamp, UTC)
    return None


def _signature(source: Source, paths: SourcePaths) -> str:
    """Return a hash of the names, sizes and times of the source's files."""
    digest = hashlib.sha256()
    for declared in source.tables.values():
        for file in find_files(declared.files, paths.landing):
            digest.update(f"{file.name}|{stamp(file.path)}\n".encode())
    return digest.hexdigest()[:16]
