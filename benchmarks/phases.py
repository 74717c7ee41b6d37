"""Where the time of a run went, by Dagster's and dbt's own records of it."""

import json
import os

from dagster_project.paths import SourcePaths

PHASES = (
    "load",
    "raw gate",
    "models",
    "scores",
    "scored models",
    "candidate",
    "release gate",
    "publish",
)
_PHASE_OF_STEP = {
    "raw_gate": "raw gate",
    "models": "models",
    "scores": "scores",
    "scored_models": "scored models",
    "release__candidate": "candidate",
    "release_gate": "release gate",
    "release__current": "publish",
}


def phase_seconds(paths: SourcePaths) -> dict[str, float]:
    """Return the seconds of each phase of the source's latest run."""
    import dagster as dg

    # Where the source's own Dagster instance looks for its event log.
    os.environ["DAGSTER_HOME"] = str(paths.dagster_home)
    started: dict[str, float] = {}
    seconds: dict[str, float] = {}
    with dg.DagsterInstance.get() as instance:
        (record,) = instance.get_run_records(limit=1)
        events = instance.all_logs(
            record.dagster_run.run_id,
            of_type={
                dg.DagsterEventType.STEP_START,
                dg.DagsterEventType.STEP_SUCCESS,
                dg.DagsterEventType.STEP_FAILURE,
            },
        )
    for event in events:
        step = event.dagster_event.step_key
        if event.dagster_event.is_step_start:
            started[step] = event.timestamp
        else:
            # Whatever is not one of the steps after it is the load of a raw table.
            phase = _PHASE_OF_STEP.get(step, "load")
            seconds[phase] = seconds.get(phase, 0) + event.timestamp - started[step]
    return seconds


def node_seconds(paths: SourcePaths) -> dict[str, float]:
    """Return the seconds of each dbt model and test of the source's latest run."""
    results = [
        result
        for file in (paths.warehouse_dir / "dbt").glob("*models_results.json")
        for result in json.loads(file.read_text())["results"]
    ]
    return {_name(result["unique_id"]): result["execution_time"] for result in results}


def _name(unique_id: str) -> str:
    kind, _, name, *_ = unique_id.split(".")
    return name if kind == "model" else f"{kind} {name}"
