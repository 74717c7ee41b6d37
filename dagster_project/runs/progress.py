"""What a person at a terminal sees of a run: a line when a step starts or has news."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator

import dagster as dg

# What Dagster and dagster-dbt tell beside the steps and the assets' own messages.
NOISE = ("Dependencies for step", "A dbt subsetted", "Running dbt command", "Finished dbt command")
MODEL_BUILT = re.compile(r"OK created .* model (\S+) .*\[.* in (\S+)\]")
TROUBLE = re.compile(r"\b(ERROR|FAIL|WARN)\b(?!=)")


class _ProgressHandler(logging.Handler):
    """Prints steps and the assets' own messages; Dagster's full log is in the UI."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        if event is None:
            text = meta.get("orig_message") or record.getMessage()
            if record.levelno >= logging.INFO and not text.startswith(NOISE):
                self._print(f"    {text}")
        elif event.event_type_value == "STEP_START":
            self._print(event.step_key.replace("__", "/"))

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


@dg.logger(description="Progress of a run for a terminal.")
def progress_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    """Return the logger; Dagster makes one a run."""
    logger = logging.Logger("winback", level=logging.DEBUG)
    logger.addHandler(_ProgressHandler())
    return logger


class _ModelLines(io.TextIOBase):
    """Passes on dbt's lines about models and trouble; dbt.log keeps all of them."""

    def __init__(self, terminal: io.TextIOBase) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Show a line if it is worth it."""
        if built := MODEL_BUILT.search(text):
            self.terminal.write(f"    {built[1]} ({built[2]})\n")
        elif TROUBLE.search(text):
            self.terminal.write(f"    {text.strip()}\n")
        return len(text)

    def flush(self) -> None:
        """Flush the terminal."""
        self.terminal.flush()


@contextlib.contextmanager
def show_models_only() -> Iterator[None]:
    """Reduce what dbt prints meanwhile to one line a model."""
    with contextlib.redirect_stdout(_ModelLines(sys.stderr)):
        yield
