"""A run from the command line: through the source's own Dagster instance, in this process.

The run shows in the UI's history with its logs like any other.
"""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime

from dagster_project.access import keep_to_owner
from dagster_project.config.source import Source
from dagster_project.errors import WinbackError
from dagster_project.notices.tell import Well, tell, telling_failures
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.release.identity import all_inputs, code_version, release_identity
from dagster_project.release.publish import switch_to
from dagster_project.release.ready import make_ready
from dagster_project.release.recover import recover
from dagster_project.release.state import Release, current_release, find_release
from dagster_project.runs import planning
from dagster_project.runs.locking import source_lock
from dagster_project.runs.progress import without_noise
from dagster_project.runs.room import check_room, telling_of_a_full_disk
from dagster_project.warehouse import connect


def run(
    source: Source,
    paths: SourcePaths,
    *,
    as_of: str | None,
    make_current: bool,
    full_refresh: bool,
    rebuild_warehouse: bool,
    new_pseudonyms: bool,
    inform: Callable[[str], None],
) -> tuple[Release, bool]:
    """Load, rebuild, audit and publish; return the release and whether it was built now.

    Same files, settings, as-of date and code: nothing is built, the release there is stands.

    Raises:
        WinbackError: with the exit code that says what kind of failure it was.
    """
    now = datetime.now(UTC)
    as_of_date = planning.resolve_as_of(source, as_of, now)
    with source_lock(paths, inform), telling_of_a_full_disk(paths, source):
        with telling_failures(paths):
            recover(paths, inform)
            make_ready(
                paths, source, inform, rebuild=rebuild_warehouse, new_pseudonyms=new_pseudonyms
            )
            plan = planning.plan_load(paths, source, now, full_refresh=full_refresh)
            built = None if plan.has_changes else _find_built(source, paths, as_of_date)
        if built is not None:
            if make_current and not built.is_current:
                built = switch_to(paths, built.release_id)
            if built.is_rolled_back and current_release(paths) is None:
                raise WinbackError(
                    f"{source.name}: readers have no release, and there is nothing new to build: "
                    f"{built.release_id}, which these files give, was left for an earlier one that "
                    "is not whole any more. Give it to readers with `winback run "
                    "--make-current`, or choose another one (`winback releases`) with `winback "
                    "rollback ID`."
                )
            if built.is_current:
                tell(paths, Well(built.release_id, "Nothing new to publish.", is_new=False))
            return built, False
        # Dagster's record of a run that cannot begin would take up what room there is.
        check_room(paths, source)
        inform(f"Starting {source.name} as of {as_of_date}; days {plan.first} to {plan.last}.")
        settings = {"make_current": make_current, "full_refresh": full_refresh}
        release_id = _execute(source, paths, plan, as_of_date, settings)
        release = find_release(paths, release_id)
        if release is None:
            raise WinbackError(f"The run ended without the release {release_id}.")
        return release, True


def _find_built(source: Source, paths: SourcePaths, as_of: date) -> Release | None:
    """Return the kept release of what is loaded, if there is one.

    One that readers were to see when its run was killed is not finished.
    """
    with connect(paths, read_only=True) as connection:
        inputs = all_inputs(connection)
    identity = release_identity(source, as_of, code_version(), inputs)
    found = find_release(paths, identity.release_id)
    return None if found is not None and found.is_unseen else found


def prepare_dagster_home(paths: SourcePaths) -> None:
    """Make the source's own Dagster instance the one that this process uses."""
    keep_to_owner(paths)
    paths.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_DIR / "dagster.yaml", paths.dagster_home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(paths.dagster_home)
    # Read by `definitions.defs`, also in the processes that the UI starts.
    os.environ["WINBACK_SOURCE"] = paths.source
    os.environ["WINBACK_DATA_DIR"] = str(paths.data_dir)


def _execute(
    source: Source, paths: SourcePaths, plan: planning.Plan, as_of: date, settings: dict[str, bool]
) -> str:
    """Run the daily job in this process and return the id of its release.

    Raises what went wrong, without a traceback.
    """
    import dagster as dg

    from dagster_project.cli.failures import failure_of
    from dagster_project.definitions import build_definitions
    from dagster_project.defs.assets.common import CURRENT
    from dagster_project.defs.jobs import DAILY, request

    requested = request(plan, as_of, **settings)
    requested["run_config"]["loggers"] = {"console": {}}
    with without_noise(), dg.DagsterInstance.get() as instance:
        job = build_definitions(source, paths).resolve_job_def(DAILY)
        try:
            result = job.execute_in_process(instance=instance, raise_on_error=False, **requested)
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
    if not result.success:
        raise failure_of(result)
    (published,) = (
        event for event in result.get_asset_materialization_events() if event.asset_key == CURRENT
    )
    return published.materialization.metadata["release_id"].value
