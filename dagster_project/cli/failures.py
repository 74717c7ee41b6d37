"""What a person is told of a run that failed: the one error behind it, without a traceback."""

import dagster as dg

from dagster_project.errors import GateBlockedError, WinbackError


def failure_of(result: dg.ExecuteInProcessResult) -> WinbackError | KeyboardInterrupt:
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


def _step_failure(event: dg.DagsterEvent) -> WinbackError | KeyboardInterrupt:
    known = {kind.__name__: kind for kind in _subclasses(WinbackError)}
    error = event.step_failure_data.error
    # What a WinbackError was raised from says less than its own message.
    while error.cls_name not in known and error.cause is not None:
        error = error.cause
    if error.cls_name == KeyboardInterrupt.__name__:
        return KeyboardInterrupt()
    if error.cls_name in known:
        # Dagster keeps `module.Class: message`.
        message = error.message.split(": ", 1)[-1].strip()
        return known[error.cls_name](message)
    first_line = error.message.strip().splitlines()[0][:500]
    return WinbackError(f"{event.step_key} failed: {first_line}")


def _subclasses(kind: type) -> list[type]:
    return [kind, *(sub for child in kind.__subclasses__() for sub in _subclasses(child))]
