"""What a person is told of a run of Dagster, read from its own events when its last one is stored.

The event log is the one place that every run's end passes: of the command line, the UI, the
schedule and the sensor, of a run that another process found dead, and of one that never started.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from dagster_project.errors import ConfigurationError, GateBlockedError, first_line
from dagster_project.gates.outcomes import without_values
from dagster_project.gates.verdicts import judged_input
from dagster_project.notices.tell import Trouble, Well, tell
from dagster_project.paths import SourcePaths
from dagster_project.runs.faults import fault_of
from dagster_project.standing import what_stands

# What is read of a run that has ended.
WITNESSES = frozenset(
    {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
    }
)
CURRENT, CANDIDATE = dg.AssetKey(["release", "current"]), dg.AssetKey(["release", "candidate"])
TRANSACTIONS = dg.AssetKey(["raw", "transactions"])
ERROR = "ERROR"


def tell_of_run(paths: SourcePaths, run_id: str, events: Sequence[dg.DagsterEvent]) -> list[str]:
    """Tell what became of a run that has ended; return lines for its log.

    Args:
        paths: Folders of the source.
        run_id: The run.
        events: Its events, at least those of `WITNESSES`.
    """
    return tell(paths, what_happened(paths, run_id, events))


def what_happened(
    paths: SourcePaths, run_id: str, events: Sequence[dg.DagsterEvent]
) -> Trouble | Well | None:
    """Return what became of a run; None if it was of assets that publish nothing."""
    where = f"Run {run_id}; see its page in the Dagster UI (`winback ui --source {paths.source}`)"
    message = gates_message(events)
    if message is not None:
        # What is observed may change from day to day, such as the length of a silence.
        failed = [line for line in message.splitlines() if line.endswith(" failed")]
        sentence = without_values(message) or "A gate refused what would have been published."
        return Trouble(
            "blocked",
            f"{judged_input(paths, run_id)}|{' '.join(failed) or message}",
            f"{sentence}\n{what_stands(paths)}\n{where} or {paths.blocked / run_id}.",
        )
    if any(event.event_type == dg.DagsterEventType.RUN_FAILURE for event in events):
        cause, sentence = _failure(events)
        return Trouble("failed", cause, f"{sentence}\n{what_stands(paths)}\n{where}.")
    published = _materialized(events, CURRENT)
    if not published or not published["is_current"]:
        return None
    release_id = str(published["release_id"])
    text = "\n".join(
        [f"Release {release_id} is current.", *_counts(events), f"File {paths.published_file}"]
    )
    return Well(release_id, f"{text}\n{where}.", is_new=True)


def gates_message(events: Iterable[dg.DagsterEvent]) -> str | None:
    """Return what the gates said that blocked a run; None if none did."""
    said = []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity.value == ERROR and "_gate_" in check.check_name:
                said.append(check.description or "")
    if said:
        return "\n".join(said)
    faults = (fault_of(error) for event in events for error in _errors(event))
    return next((str(one) for one in faults if isinstance(one, GateBlockedError)), None)


def configuration_fault(events: Iterable[dg.DagsterEvent]) -> str | None:
    """Return what was said of a fault in the configuration that failed a run; None if none did."""
    for event in events:
        for error in _errors(event):
            fault = fault_of(error)
            if isinstance(fault, ConfigurationError):
                return str(fault)
    return None


def _failure(events: Sequence[dg.DagsterEvent]) -> tuple[str, str]:
    """Return why a run failed, whole and as a sentence that quotes nothing of the data.

    What other errors than the configuration's say may quote values of a row.
    """
    fault = configuration_fault(events)
    if fault is not None:
        return fault, f"The configuration has a fault: {first_line(fault)}"
    for event in events:
        if event.is_step_failure:
            step = (event.step_key or "").replace("__", "/")
            error = event.step_failure_data.error
            return f"{step}|{error.message if error else ''}", f"Step {step} failed."
    ends = [e for e in events if e.event_type == dg.DagsterEventType.RUN_FAILURE]
    error = next(iter(_errors(ends[-1])), None)
    if error is not None:
        return error.message, "The run failed before or between its steps."
    # Of Dagster or of this program: a run that was found dead, or did not start.
    return ends[-1].message or "", first_line(ends[-1].message or "The run failed.")


def _errors(event: dg.DagsterEvent) -> list[Any]:
    """Return the error of a failure and those it was raised from."""
    if event.is_step_failure:
        error = event.step_failure_data.error
    elif event.event_type == dg.DagsterEventType.RUN_FAILURE:
        data = event.event_specific_data
        error = data.error if data is not None else None
    else:
        return []
    found = []
    while error is not None:
        found.append(error)
        error = error.cause
    return found


def _materialized(events: Iterable[dg.DagsterEvent], key: dg.AssetKey) -> dict[str, Any]:
    """Return the numbers and texts of an asset's last materialization in a run."""
    found: dict[str, Any] = {}
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key == key:
            metadata = event.step_materialization_data.materialization.metadata
            found = {name: entry.value for name, entry in metadata.items()}
    return found


def _counts(events: Sequence[dg.DagsterEvent]) -> list[str]:
    """Return lines of what a run loaded and published, in numbers alone."""
    lines = []
    customers = _materialized(events, CANDIDATE).get("dagster/row_count")
    if customers is not None:
        lines.append(f"{customers:,} customers")
    loaded = _materialized(events, TRANSACTIONS)
    if "dagster/row_count" in loaded:
        lines.append(
            f"{loaded['dagster/row_count']:,} transaction lines; {loaded['files_read']:,} files "
            f"read, {loaded['rejected_lines']:,} lines rejected"
        )
    warnings = sum(
        not event.asset_check_evaluation_data.passed
        and "_gate_" in event.asset_check_evaluation_data.check_name
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    )
    if warnings:
        lines.append(f"{warnings:,} tables with warnings of the gates")
    return lines
