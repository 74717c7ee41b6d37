"""Dagster sensors: files that arrive or change between the mornings."""

import hashlib
from datetime import UTC, datetime

import dagster as dg

from dagster_project.config.source import Source, load_source
from dagster_project.defs.jobs import DAILY, request
from dagster_project.errors import WinbackError
from dagster_project.loading.files import find_files
from dagster_project.notices.tell import tell, telling_failures
from dagster_project.paths import SourcePaths
from dagster_project.runs.planning import plan_load

INTERVAL_SECONDS = 300


def landing_sensor(source: Source, paths: SourcePaths) -> dg.SensorDefinition:
    """Return the sensor; it is off until someone turns it on in the UI."""

    @dg.sensor(
        name="landing_files",
        job_name=DAILY,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks every five minutes for new or changed files and requests one run over the span "
            "of days they touch. Files must have kept still between two looks."
        ),
    )
    def landing_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with telling_failures(paths):
            config = load_source(paths)
        # Where nothing arrives no run starts that would notice.
        tell(paths)
        try:
            seen = _signature(config, paths)
        except WinbackError as error:
            return dg.SkipReason(str(error))
        # The cursor is "seen" after a first look at a new state and "done" after the request.
        if context.cursor == f"done {seen}":
            return dg.SkipReason("No file has changed.")
        if context.cursor != f"seen {seen}":
            context.update_cursor(f"seen {seen}")
            return dg.SkipReason("Files have changed; waiting whether they keep still.")
        try:
            plan = plan_load(paths, config, datetime.now(UTC))
        except WinbackError as error:
            return dg.SkipReason(str(error))
        context.update_cursor(f"done {seen}")
        if not plan.has_changes:
            return dg.SkipReason("The files hold what is loaded already.")
        return dg.RunRequest(run_key=seen, **request(plan))

    return landing_files


def _signature(source: Source, paths: SourcePaths) -> str:
    """Return a hash of the names, sizes and times of the source's files."""
    digest = hashlib.sha256()
    for declared in source.tables.values():
        for file in find_files(declared.files, paths.landing):
            status = file.path.stat()
            digest.update(f"{file.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
