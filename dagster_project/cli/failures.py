"""What a person is told of a run that failed: the one error behind it, without a traceback."""

import dagster as dg

from dagster_project.errors import WinbackError
from dagster_project.runs.faults import fault_of


def failure_of(result: dg.ExecuteInProcessResult) -> WinbackError | KeyboardInterrupt:
    """Return the error behind a failed run: that of the first step that failed."""
    for event in result.all_events:
        if event.is_step_failure:
            return _step_failure(event)
        if event.is_run_failure:
            failure = event.job_failure_data.error
            return fault_of(failure) or WinbackError(
                failure.message.strip() if failure else event.message
            )
    return WinbackError("The run failed; see its log in the Dagster UI.")


def _step_failure(event: dg.DagsterEvent) -> WinbackError | KeyboardInterrupt:
    error = event.step_failure_data.error
    fault = fault_of(error)
    if fault is not None:
        return fault
    while error.cause is not None:
        error = error.cause
    if error.cls_name == KeyboardInterrupt.__name__:
        return KeyboardInterrupt()
    first_line = error.message.strip().splitlines()[0][:500]
    return WinbackError(f"{event.step_key} failed: {first_line}")
