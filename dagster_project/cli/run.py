"""A run from the command line: through the source's own Dagster instance, in this process.

The run shows in the UI's history with its logs like any other.
"""

import os
import shutil
from collections.abc import Callable

from dagster_project.config.source import Source
from dagster_project.errors import GateBlockedError, WinbackError
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.release import audit, releases
from dagster_project.release.releases import Release
from dagster_project.runs import planning
from dagster_project.runs.locking import source_lock


def run(
    source: Source,
    paths: SourcePaths,
    *,
    as_of: str | None,
    publish: bool,
    full_refresh: bool,
    say: Callable[[str], None],
) -> tuple[Release, bool]:
    """Load, rebuild, audit and publish; return the release and whether it was built now.

    Same files, settings, as-of date and code: nothing is built, the release there is stands.

    Raises:
        WinbackError: with the exit code that says what kind of failure it was.
    """
    as_of_date = planning.resolve_as_of(source, as_of)
    with source_lock(paths, say):
        releases.recover(paths)
        plan = planning.plan_load(paths, source, full_refresh=full_refresh)
        if not plan.has_changes:
            identity = audit.release_identity(paths, source, as_of_date)
            built = releases.find_release(paths, identity.release_id)
            if built is not None:
                if publish and not built.is_current:
                    built = releases.switch_to(paths, built.release_id)
                return built, False
        say(f"Starting {source.name} as of {as_of_date}; days {plan.first} to {plan.last}.")
        _execute(source, paths, plan, as_of, publish, full_refresh)
        identity = audit.release_identity(paths, source, as_of_date)
        release = releases.find_release(paths, identity.release_id)
        if release is None:
            raise WinbackError(f"The run ended without the release {identity.release_id}.")
        return release, True


def prepare_dagster_home(paths: SourcePaths) -> None:
    """Make the source's own Dagster instance the one that this process uses."""
    paths.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_DIR / "dagster.yaml", paths.dagster_home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(paths.dagster_home)
    # Read by `definitions.defs`, also in the processes that the UI starts.
    os.environ["WINBACK_SOURCE"] = paths.source
    os.environ["WINBACK_DATA_DIR"] = str(paths.data_dir)


def _execute(
    source: Source,
    paths: SourcePaths,
    plan: planning.Plan,
    as_of: str | None,
    publish: bool,
    full_refresh: bool,
) -> None:
    """Run the daily job in this process; raise what went wrong, without a traceback."""
    import dagster as dg
    from dagster._core.errors import DagsterExecutionInterruptedError

    from dagster_project.definitions import build_definitions
    from dagster_project.defs.jobs import DAILY
    from dagster_project.defs.schedules import range_tags

    config = {"as_of": as_of, "publish": publish, "full_refresh": full_refresh}
    with dg.DagsterInstance.get() as instance:
        job = build_definitions(source, paths).resolve_job_def(DAILY)
        try:
            result = job.execute_in_process(
                instance=instance,
                tags=range_tags(plan),
                run_config={
                    "resources": {"source_run": {"config": config}},
                    "loggers": {"console": {}},
                },
                raise_on_error=False,
            )
        except DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
    if not result.success:
        raise _failure(result)


def _failure(result: "dg.ExecuteInProcessResult") -> WinbackError:  # noqa: F821
    """Return the error behind a failed run: a blocked gate, or the first failed step's own."""
    blocked = [
        evaluation.description
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
        and not (evaluation := event.asset_check_evaluation_data).passed
        and evaluation.severity.value == "ERROR"
        and "_gate_" in evaluation.check_name
    ]
    if blocked:
        return GateBlockedError("\n".join(text for text in blocked if text))
    for event in result.all_events:
        if event.is_step_failure:
            return _step_failure(event)
        if event.is_run_failure:
            failure = event.job_failure_data.error
            return WinbackError(failure.message.strip() if failure else event.message)
    return WinbackError("The run failed; see its log in the Dagster UI.")


def _step_failure(event: "dg.DagsterEvent") -> WinbackError:  # noqa: F821
    known = {kind.__name__: kind for kind in _subclasses(WinbackError)}
    error = event.step_failure_data.error
    # What a WinbackError was raised from says less than its own message.
    while error.cls_name not in known and error.cause is not None:
        error = error.cause
    if error.cls_name in known:
        # Dagster keeps `module.Class: message`.
        message = error.message.split(": ", 1)[-1].strip()
        return known[error.cls_name](message)
    first_line = error.message.strip().splitlines()[0][:500]
    return WinbackError(f"{event.step_key} failed: {first_line}")


def _subclasses(kind: type) -> list[type]:
    return [kind, *(sub for child in kind.__subclasses__() for sub in _subclasses(child))]
