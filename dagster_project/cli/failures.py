"""What a person is told of a failure: one message, with its details in a log and no traceback."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project import interruption
from dagster_project.errors import WinbackError, read, tells_of_a_full_disk
from dagster_project.files import write_text
from dagster_project.paths import SourcePaths
from dagster_project.standing import what_stands

if TYPE_CHECKING:
    import dagster as dg


@dataclass
class Told:
    """What is known of the command that may fail: the folders of its source, once they are."""

    paths: SourcePaths | None = None


@contextmanager
def told(*, is_process: bool) -> Iterator[Told]:
    """Tell a person of whatever ends a command, and exit with its code.

    Args:
        is_process: Nothing but the command is in this process, which ends at once when it was
            interrupted: Python would wait for all threads of all libraries.
    """
    command = Told()
    code: int | None = None
    with interruption.watched() as watch, interruption.raising():
        try:
            yield command
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read what this prints has gone; there is nobody to tell.
            _print_nowhere()
            code = 1
        except (Exception, KeyboardInterrupt) as error:
            # Whatever a signal made fail on its way is told as what it is.
            code = watch and watch.exit_code
            if code is None and isinstance(error, KeyboardInterrupt):
                code = 128 + signal.SIGINT
            if code is None:
                code = _report(error, command.paths)
            elif is_process:
                interruption.end_now(code)
            else:
                print(interruption.MESSAGE, file=sys.stderr)
    if code:
        sys.exit(code)


def _report(error: Exception, paths: SourcePaths | None) -> int:
    """Print what went wrong, keep its details in a log, and return the exit code."""
    fault = read(error)
    lines = [f"winback: {fault}"]
    if fault.details is not None:
        kept = paths and _keep(paths, fault)
        stands = paths and what_stands(paths)
        lines += [
            *([f"  {stands}"] if stands and stands not in str(fault) else []),
            f"  details: {kept or 'could not be kept, for no log can be written'}",
        ]
    if tells_of_a_full_disk(str(fault)):
        # What the run printed last may have been cut off for it.
        lines.insert(0, "")
    print("\n".join(lines), file=sys.stderr)
    return fault.exit_code


def _print_nowhere() -> None:
    """Let what is printed from here on vanish: Python would complain of it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failure_of(result: "dg.ExecuteInProcessResult") -> WinbackError | KeyboardInterrupt:
    """Return the error behind a failed run: that of the first step that failed."""
    for event in result.all_events:
        if event.is_step_failure:
            return _failure(
                event.step_failure_data.error, (event.step_key or "").replace("__", "/")
            )
        if event.is_run_failure:
            failure = event.job_failure_data.error
            return _failure(failure, "The run") if failure else WinbackError(event.message)
    return WinbackError("The run failed; see its log in the Dagster UI.")


def _failure(error: object, what: str) -> WinbackError | KeyboardInterrupt:
    from dagster_project.runs.faults import fault_of, is_interrupt, unforeseen_of

    if is_interrupt(error):
        return KeyboardInterrupt()
    fault = fault_of(error) or unforeseen_of(error)
    if fault.details is None:
        return fault
    told = WinbackError(f"{what} failed. {fault}")
    told.details = fault.details
    return told


def _keep(paths: SourcePaths, fault: WinbackError) -> Path | None:
    """Write the details of a failure into a file of its own; return it if that could be done."""
    if not paths.data_dir.is_dir():
        return None
    file = paths.logs / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    command = shlex.join(["winback", *sys.argv[1:]])
    text = f"{datetime.now(UTC)} UTC\n{command}\nPython {sys.version}\n\n{fault}\n\n{fault.details}"
    try:
        paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(file, text.encode("utf-8", "backslashreplace").decode(), mode=0o600)
    except OSError:
        return None
    return file
