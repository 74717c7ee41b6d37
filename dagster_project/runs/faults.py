"""What Dagster keeps of a failure, read as the fault of this program that it is.

A person who opens a failed run shall read what is wrong and what to do, and not where in the
program it was noticed. That is for faults nobody has foreseen.
"""

import re
from typing import Any

from dagster import EventLogEntry

from dagster_project.errors import WinbackError
from dagster_project.shown import shown


def fault_of(error: Any) -> WinbackError | None:
    """Return the fault that an error is or was raised from; None if it is none of this program.

    Args:
        error: An error as Dagster keeps it, or none.
    """
    known = {kind.__name__: kind for kind in _subclasses(WinbackError)}
    # What a WinbackError was raised from says less than its own message.
    while error is not None:
        if error.cls_name in known:
            # Python's `module.Class: message`, or the message alone where it was kept before.
            text = re.sub(rf"^[\w.]*\b{error.cls_name}: ", "", error.message)
            return known[error.cls_name](text.strip())
        error = error.cause
    return None


def without_stack(entry: EventLogEntry) -> EventLogEntry:
    """Return an entry of the event log whose known fault is told by its message alone.

    Whatever it tells, what looks like a contact is left out.
    """
    message = shown(entry.user_message)
    if message != entry.user_message or entry.error_info:
        entry = entry._replace(user_message=message, error_info=_shown_error(entry.error_info))
    if entry.dagster_event is None:
        return entry
    event = _without_stack(entry.dagster_event)
    return entry if event is entry.dagster_event else entry._replace(dagster_event=event)


def _without_stack(event: Any) -> Any:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    if error is None:
        return event
    fault = fault_of(error)
    if fault is None:
        told = _shown_error(error)
    else:
        told = error.to_exception_message_only()._replace(
            message=f"{fault}\n", cls_name=type(fault).__name__
        )
    data = data._replace(error=told)
    # The end of a run holds the failure of its step once more.
    step = getattr(data, "first_step_failure_event", None)
    if step is not None:
        data = data._replace(first_step_failure_event=_without_stack(step))
    return event._replace(event_specific_data=data)


def _shown_error(error: Any) -> Any:
    """Return an error, and those behind it, as people may see them."""
    return error and error._replace(
        message=shown(error.message),
        stack=[shown(line) for line in error.stack],
        cause=_shown_error(error.cause),
        context=_shown_error(error.context),
    )


def _subclasses(kind: type) -> list[type]:
    return [kind, *(sub for child in kind.__subclasses__() for sub in _subclasses(child))]
