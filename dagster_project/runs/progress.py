"""What a person at a terminal sees of a run: a line when a step starts or has news."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from dagster_project.errors import quoting_nothing
from dagster_project.runs.quiet_stream import QuietStream
from dagster_project.shown import shown

# What Dagster and dagster-dbt tell beside the steps and the assets' own messages.
NOISE = ("Dependencies for step", "A dbt subsetted")
# What dbt tells of an error inside itself, with its stack; the error is raised as well.
TRACES = ("MainEncounteredError", "MainStackTrace")
# How Dagster begins to print that its record of the run cannot be written; it raises that as well.
NOT_RECORDED = "Exception while writing logger call to event log"


@contextmanager
def without_noise() -> Iterator[None]:
    """Print nothing of what could not be recorded: why a run fails is said at its end."""
    former, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        with contextlib.redirect_stderr(QuietStream(sys.stderr, NOT_RECORDED)):
            yield
    finally:
        logging.raiseExceptions = former


class _ProgressHandler(logging.Handler):
    """Prints steps and the assets' own messages; Dagster's full log is in the UI."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        if event is None:
            text = meta.get("orig_message") or record.getMessage()
            if record.levelno >= logging.INFO and not text.startswith(NOISE):
                _show(f"    {text}")
        elif event.event_type_value == "STEP_START":
            _show(event.step_key.replace("__", "/"))


@dg.logger(description="Progress of a run for a terminal.")
def progress_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    """Return the logger; Dagster makes one a run."""
    logger = logging.Logger("winback", level=logging.DEBUG)
    logger.addHandler(_ProgressHandler())
    return logger


def show_dbt_event(message: Any) -> None:
    """Print a line for a model that dbt has built, or for trouble; `dbt.log` keeps the rest."""
    name, level = message.info.name, message.info.level
    if name == "LogModelResult" and level == "info":
        built = message.data
        line = f"{built.node_info.node_relation.schema}.{built.node_info.node_name}"
        _show(f"    {line} ({built.execution_time:.2f}s)")
    elif level in ("warn", "error") and name not in TRACES:
        _show(f"    {quoting_nothing(message.info.msg.strip())}")


def _show(line: str) -> None:
    # Dagster lets it go through a file, whose disk may be full; and dbt waits for ever for a thread
    # that ends with an error.
    with contextlib.suppress(OSError):
        # In one piece: dbt tells its events from several threads.
        sys.stderr.write(f"{shown(line)}\n")
        sys.stderr.flush()
