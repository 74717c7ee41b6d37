"""What Dagster keeps of a failure, read as the fault of this program that it is.

A person who opens a failed run shall read what is wrong and what to do, and not where in the
program it was noticed. That is for faults nobody has foreseen, and even those quote nothing that an
error may hold of a row.
"""

import re
from collections.abc import Iterator
from typing import Any

from dagster import DagsterExecutionInterruptedError, EventLogEntry

from dagster_project.errors import WinbackError, in_words, unforeseen, without_values
from dagster_project.shown import shown

INTERRUPTED = "The run was interrupted; run again."
# How a signal ends a step: by Dagster, by Python, or inside a statement of DuckDB.
INTERRUPTS = frozenset(
    {DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__, "InterruptException"}
)
QUERY_INTERRUPTED = "Query interrupted"


def fault_of(error: Any) -> WinbackError | None:
    """Return the fault that an error is or was raised from; None if nobody has foreseen it.

    Args:
        error: An error as Dagster keeps it, or none.
    """
    known = {kind.__name__: kind for kind in _subclasses(WinbackError)}
    chain = list(_chain(error))
    if is_interrupt(error):
        return WinbackError(INTERRUPTED)
    # What a WinbackError was raised from says less than its own message.
    for one in chain:
        if one.cls_name in known:
            # Python's `module.Class: message`, or the message alone where it was kept before.
            text = re.sub(rf"^[\w.]*\b{one.cls_name}: ", "", one.message)
            return known[one.cls_name](text.strip())
    for one in reversed(chain):
        words = in_words(one.cls_name or "", one.message)
        if words:
            found = WinbackError(words)
            found.details = details_of(error)
            return found
    return None


def is_interrupt(error: Any) -> bool:
    """Return whether a signal ended what failed with an error as Dagster keeps it."""
    return any(
        one.cls_name in INTERRUPTS or QUERY_INTERRUPTED in one.message for one in _chain(error)
    )


def unforeseen_of(error: Any) -> WinbackError:
    """Return what is said of an error that nobody has foreseen."""
    *_, innermost = _chain(error)
    found = WinbackError(unforeseen(innermost.cls_name or "Error"))
    found.details = details_of(error)
    return found


def details_of(error: Any) -> str:
    """Return where in the program an error came from, the innermost first, without values."""
    return shown(
        "".join(
            f"{''.join(one.stack)}{without_values(one.cls_name or 'Error', one.message)}\n\n"
            for one in reversed(list(_chain(error)))
        )
    )


def without_stack(entry: EventLogEntry) -> EventLogEntry:
    """Return an entry of the event log that begins with what is wrong.

    Of a fault that has been foreseen that is all; of others what they quote is left out. Whatever
    it tells, what looks like a contact is left out, too.
    """
    message = shown(entry.user_message)
    if message != entry.user_message or entry.error_info:
        entry = entry._replace(user_message=message, error_info=_without_values(entry.error_info))
    if entry.dagster_event is None:
        return entry
    event = _without_stack(entry.dagster_event)
    return entry if event is entry.dagster_event else entry._replace(dagster_event=event)


def _without_stack(event: Any) -> Any:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    if error is None:
        return _with_first_step(event, data)
    fault = fault_of(error)
    told = error.to_exception_message_only()._replace(
        message=f"{fault or unforeseen_of(error)}\n",
        cls_name=type(fault).__name__ if fault else error.cls_name,
        cause=None if fault else _without_values(error),
    )
    return _with_first_step(event, data._replace(error=told))


def _with_first_step(event: Any, data: Any) -> Any:
    # The end of a run holds the failure of its step once more.
    step = getattr(data, "first_step_failure_event", None)
    if step is not None:
        data = data._replace(first_step_failure_event=_without_stack(step))
    return event if data is event.event_specific_data else event._replace(event_specific_data=data)


def _without_values(error: Any) -> Any:
    return error and error._replace(
        message=shown(f"{without_values(error.cls_name or 'Error', error.message)}\n"),
        stack=[shown(line) for line in error.stack],
        cause=_without_values(error.cause),
        context=_without_values(error.context),
    )


def _chain(error: Any) -> Iterator[Any]:
    """Yield an error and those it was raised from, the outermost first."""
    while error is not None:
        yield error
        error = error.cause


def _subclasses(kind: type) -> list[type]:
    return [kind, *(sub for child in kind.__subclasses__() for sub in _subclasses(child))]
