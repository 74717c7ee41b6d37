"""Whatever ends a command is told in one message, with an exit code and no traceback."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from support.shop import Outcome, winback
from support.small_source import GOOD

from dagster_project import interruption
from dagster_project.cli import run
from dagster_project.cli.main import _quieten_warnings
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

SECRET = "jane@example.org"
FULL = "The disk is full: /data/x could not be written. Free space there"


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    paths = SourcePaths(tmp_path / "data", "shop")
    (paths.data_dir / "sources").mkdir(parents=True)
    (paths.data_dir / "sources" / "shop.yml").write_text(GOOD, encoding="utf-8")
    paths.landing.mkdir(parents=True)
    (paths.landing / "orders.csv").write_text("customer,day,amount\nc1,2024-01-02,3\n")
    return paths


def run_that(does: Callable[[], object], paths: SourcePaths) -> Outcome:
    """Return what a person sees of a run in which something happens instead of Dagster's work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_execute", lambda *_: does())
        return winback("run", "--source", "shop", data_dir=paths.data_dir)


def raises(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/data/x"), FULL),
        (OSError(122, "Disk quota exceeded", "/data/x"), FULL),
        (
            duckdb.IOException('IO Error: Could not write file "/data/x": No space left on device'),
            FULL,
        ),
        (
            duckdb.IOException(
                'IO Error: Async write failed: {"exception_type":"IO","exception_message":"Could '
                'not write file \\"/data/x\\": No space left on device","errno":"28"}'
            ),
            FULL,
        ),
        (
            duckdb.OutOfMemoryException(
                "Out of Memory Error: failed to offload data block of size 256.0 KiB (53.9 MiB/"
                "54.0 MiB used).\nThis limit was set by the 'max_temp_directory_size' setting."
            ),
            "The disk is full: a file could not be written.",
        ),
        (
            duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block (2.0 GiB)"),
            "There is not enough memory. End other programs, or let DuckDB have less at once",
        ),
        (MemoryError(), "There is not enough memory."),
        (
            PermissionError(13, "Permission denied", "/data/x"),
            "This user may not read or write /data/x. Give the user",
        ),
        (OSError(30, "Read-only file system", "/data/x"), "/data/x is on a disk that can only be"),
        (OSError(24, "Too many open files", "/data/x"), "Too many files are open to open /data/x."),
        (OSError(5, "Input/output error", "/data/x"), "The disk or network drive failed at /data"),
        (IsADirectoryError(21, "Is a directory", "/data/x"), "/data/x is a folder where a file"),
        (FileNotFoundError(2, "No such file or directory", "/data/x"), "/data/x is missing."),
        (
            ModuleNotFoundError("No module named 'duckdb'"),
            "A part of the program is missing: No module named 'duckdb'. Install it anew",
        ),
        (
            duckdb.ConversionException(f"Conversion Error: Could not convert string '{SECRET}'"),
            "An error that was not foreseen (ConversionException). Run again; if it comes again",
        ),
        (KeyError(SECRET), "An error that was not foreseen (KeyError)."),
        (ValueError(f"no day: {SECRET}"), "An error that was not foreseen (ValueError)."),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one[:20],
)
def test_an_error_of_any_library_is_one_message(
    error: Exception, words: str, paths: SourcePaths
) -> None:
    outcome = run_that(raises(error), paths)
    assert outcome.code == 1
    starting, told, current, details = filter(None, outcome.messages.splitlines())
    assert starting.startswith("Starting shop")
    assert told.startswith(f"winback: {words}")
    assert current == "  Readers of shop have no release until a run publishes one."
    log = Path(details.removeprefix("  details: "))
    assert log.parent == paths.logs
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    kept = log.read_text(encoding="utf-8")
    assert "test_failures.py" in kept and type(error).__name__ in kept
    assert SECRET not in kept + outcome.messages


@pytest.mark.parametrize(
    ("error", "code"), [(WinbackError("so it is"), 1), (ConfigurationError("so it is"), 2)]
)
def test_a_fault_of_the_program_is_its_message_alone(
    error: WinbackError, code: int, paths: SourcePaths
) -> None:
    outcome = run_that(raises(error), paths)
    assert (outcome.code, outcome.messages.splitlines()[1:]) == (code, ["winback: so it is"])
    assert not paths.logs.exists()


def test_a_log_that_cannot_be_written_hides_nothing(paths: SourcePaths) -> None:
    (paths.data_dir / "logs").write_text("a file where a folder should be")
    outcome = run_that(raises(KeyError("x")), paths)
    assert outcome.code == 1
    assert "An error that was not foreseen (KeyError)" in outcome.messages
    assert outcome.messages.endswith("details: could not be kept, for no log can be written\n")
    # Nor is a folder made where none is.
    gone = SourcePaths(paths.data_dir / "nowhere", "completejourney")
    with pytest.MonkeyPatch.context() as patch:
        fails = raises(OSError(30, "Read-only file system"))
        patch.setattr(run, "prepare_dagster_home", lambda _: fails())
        outcome = winback("run", data_dir=gone.data_dir)
    assert "can only be read" in outcome.messages and not gone.data_dir.exists()


@contextmanager
def handlers() -> Iterator[None]:
    former = {one: signal.getsignal(one) for one in interruption.ENDED_BY}
    yield
    for one, handler in former.items():
        assert signal.getsignal(one) is handler


LONG = "select count(*) from range(10000000) a, range(10000000) b where hash(a.range + b.range) = 1"


def swallow(paths: SourcePaths) -> None:
    """Pass over what the interruption made fail, as libraries do, and go on."""
    for _ in range(3):
        try:
            with connect(paths) as connection:
                connection.execute(LONG)
        except Exception:
            pass


def let_fail(paths: SourcePaths) -> None:
    with connect(paths) as connection:
        connection.execute(LONG)


def sleep(_: SourcePaths) -> None:
    time.sleep(60)


@pytest.mark.parametrize("work", [let_fail, swallow, sleep])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_what_works_with_one_line(
    number: int, code: int, work: Callable[[SourcePaths], None], paths: SourcePaths
) -> None:
    def works() -> None:
        threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
        work(paths)

    with handlers():
        outcome = run_that(works, paths)
    assert outcome.code == code
    assert outcome.messages.splitlines()[1:] == ["winback: interrupted; run again"]
    assert outcome.seconds < 6
    # Nothing of it is left: the next command has its connections.
    with connect(paths) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


DEAF = """
import sys, time
from contextlib import suppress
from dagster_project.cli import main, run
def deaf(*_):
    print("works", file=sys.stderr, flush=True)
    while True:
        with suppress(BaseException):
            while True:
                time.sleep(0.1)
run._execute = deaf
main.main()
"""


@pytest.mark.parametrize("again", [False, True])
def test_what_no_signal_can_end_is_ended(again: bool, paths: SourcePaths) -> None:
    """Whatever passes over every interruption: the process has gone within five seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF, "run", "--source", "shop", "--data-dir", str(paths.data_dir)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr.readline().startswith("Starting shop")
        assert process.stderr.readline() == "works\n"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if again:
            time.sleep(interruption.TWICE_SECONDS + 0.2)
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (143, "winback: interrupted; run again\n")
    took = time.monotonic() - started
    assert took < (3 if again else interruption.GRACE_SECONDS + 1)


def test_a_signal_to_a_child_is_none_to_the_command(
    paths: SourcePaths, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is sent to a process of its own, such as a notice, is ended when it takes too long."""

    def work() -> None:
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(0)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        time.sleep(0.5)
        raise WinbackError("so it is")

    outcome = run_that(work, paths)
    assert (outcome.code, outcome.messages.splitlines()[1:]) == (1, ["winback: so it is"])
    assert capfd.readouterr().err == ""


def test_output_that_nobody_reads_any_more_is_no_failure_to_tell(paths: SourcePaths) -> None:
    program = "from dagster_project.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "sources", "--data-dir", str(paths.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    with process.stderr as messages:
        assert messages.read() == ""
    assert process.wait(20) == 1


@pytest.mark.parametrize(
    ("own", "then"),
    [
        (None, "ignore:resource_tracker"),
        ("error", "ignore:resource_tracker,error"),
        ("ignore:resource_tracker,error", "ignore:resource_tracker,error"),
    ],
)
def test_a_persons_own_warnings_are_printed(
    own: str | None, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", own or "")
    _quieten_warnings()
    assert os.environ["PYTHONWARNINGS"] == then


def test_a_run_without_room_is_refused_before_dagster_records_it(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9_000_000))
    outcome = run_that(lambda: pytest.fail("Dagster was started"), paths)
    assert outcome.code == 1
    (told,) = outcome.messages.splitlines()
    assert told.startswith("winback: 9.0 MB are free on the disk of ")
    assert "and this run needs 32.0 MB at the least" in told
