"""Dagster's own processes for one source: the UI with its daemon, or the daemon alone.

One operator a source: whoever starts holds a lock of the source, in whose file stands where it is.
The processes are children of this one, each with a group of its own, so that none is left when it
ends, however it was started: a shell gives what it starts in the background SIGINT ignored, and
Dagster's own command then ignores SIGTERM, too.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from dagster_project.errors import WinbackError
from dagster_project.files import locked
from dagster_project.paths import PROJECT_DIR, SourcePaths

# Part of the names under which Dagster keeps what a person turned on: not the name of a folder.
LOCATION = "winback"
LOOK_SECONDS = 0.3
# For what is asked to end; a run that works meanwhile writes down that it was interrupted.
GRACE_SECONDS = 10.0
# Else the code server waits a minute for the calls that the others hold open while they live.
PROMPT_END = {"DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "2"}
# A process that ended by itself is started again, but not one that does not live so long.
LIVES_SECONDS = 60.0
# For the name of the other one, which takes the lock a moment before it writes its mark.
MARK_SECONDS = 1.0
ENDED_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Mark:
    """Who operates a source: for the message to whoever else would."""

    what: str
    process: int
    host: str
    address: str | None

    def __str__(self) -> str:
        where = f" at {self.address}" if self.address else ""
        elsewhere = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"{self.what}{where} (process {self.process}{elsewhere})"


def serve(
    paths: SourcePaths,
    *,
    host: str,
    port: int | None,
    prepare: Callable[[], None],
    inform: Callable[[str], None],
) -> None:
    """Run the UI, or the daemon alone without a port, until a signal ends it.

    Returns when SIGTERM, SIGINT or SIGHUP has come and no process is left.

    Args:
        paths: Those of the source.
        host: Address on which the web server listens.
        port: Of the web server; none for the daemon alone.
        prepare: What only the one operator of a source may do, before anything starts.
        inform: Tells a person.

    Raises:
        WinbackError: another one operates the source, the port cannot be had, or one of the
            processes does not stay alive.
    """
    shown = f"[{host}]" if ":" in host else host
    address = None if port is None else f"http://{shown}:{port}"
    what = "daemon" if port is None else "UI"
    mark = Mark(what, os.getpid(), socket.gethostname(), address)
    with _signals() as signals, _only_operator(paths, mark):
        if port is not None:
            # Before anything else is done for a minute.
            _check_port(host, port)
        prepare()
        where = f" at {address}, with its daemon" if address else ""
        inform(f"Starting the {what} of {paths.source}{where}; end it with Ctrl-C, or SIGTERM.")
        with tempfile.TemporaryDirectory(prefix="winback-") as folder:
            services = _services(Path(folder), host, port)
            try:
                _watch(services, signals, inform)
            finally:
                _end(services)
    inform(f"The {what} of {paths.source} has ended.")


@dataclass
class _Service:
    """One of Dagster's processes, with all that it starts, in a process group of its own."""

    name: str
    arguments: list[str]
    check: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    started_at: float = field(default=0.0)

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments],
            cwd=PROJECT_DIR,
            env=os.environ | PROMPT_END,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all it has started."""
        if self.process is not None:
            # Of a group whose processes have all ended, some systems say that it is not ours.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def _services(folder: Path, host: str, port: int | None) -> list[_Service]:
    """Return the processes in the order in which they start."""
    code, workspace = folder / "code.sock", folder / "workspace.yaml"
    server = {"socket": str(code), "host": "localhost", "location_name": LOCATION}
    # JSON is YAML.
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    start = ["dagster", "code-server", "start", "--use-python-environment-entry-point"]
    module = ["-m", "dagster_project.definitions"]
    quiet = ["--log-level", "warning"]
    services = [
        _Service(
            "code server",
            [*start, "--socket", str(code), "--location-name", LOCATION, *quiet, *module],
        ),
        _Service("daemon", ["dagster._daemon", "run", "--workspace", str(workspace)]),
    ]
    if port is not None:
        listening = ["--host", host, "--port", str(port)]
        web = ["dagster_webserver", *listening, "--workspace", str(workspace)]
        # Whoever took the port since the start is told apart from other faults.
        services.append(_Service("web server", web, lambda: _check_port(host, port)))
    return services


def _watch(services: list[_Service], signals: list[int], inform: Callable[[str], None]) -> None:
    """Start the processes and keep them alive until a signal comes."""
    code = Path(services[0].arguments[services[0].arguments.index("--socket") + 1])
    while not signals:
        for service in services:
            if service.process is None:
                # The others would note that they find no code, and look again only later.
                if service is services[0] or _is_answering(code):
                    service.check()
                    service.start()
            elif service.process.poll() is not None:
                ended = f"The {service.name} ended by itself (code {service.process.returncode})"
                if time.monotonic() - service.started_at < LIVES_SECONDS:
                    service.check()
                    raise WinbackError(f"{ended}; what it said stands above.")
                inform(f"{ended}; starting it again.")
                service.signal(signal.SIGKILL)
                service.start()
        time.sleep(LOOK_SECONDS)


def _is_answering(code: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(code)) == 0


def _end(services: list[_Service]) -> None:
    """End all processes; what has not ended in time, or was left by its parent, is killed."""
    for service in services:
        # Also to a run that works: it is told that it was interrupted, and writes it down.
        service.signal(signal.SIGTERM)
    ends = time.monotonic() + GRACE_SECONDS
    for service in services:
        if service.process is not None:
            with suppress(subprocess.TimeoutExpired):
                service.process.wait(max(0.0, ends - time.monotonic()))
    for service in services:
        service.signal(signal.SIGKILL)
        if service.process is not None:
            service.process.wait()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give the list of signals that have come, instead of being ended by them.

    SIGINT counts also where it was ignored; a hang-up only where it was not (`nohup`).
    """
    come: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        come.append(number)

    former = {number: signal.getsignal(number) for number in ENDED_BY}
    if former[signal.SIGHUP] == signal.SIG_IGN:
        del former[signal.SIGHUP]
    for number in former:
        signal.signal(number, note)
    # Whoever watches for signals would end this process before its services have ended.
    watcher = signal.set_wakeup_fd(-1)
    try:
        yield come
    finally:
        signal.set_wakeup_fd(watcher)
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _only_operator(paths: SourcePaths, mark: Mark) -> Iterator[None]:
    """Hold the source's operator lock; what is written in the file says nothing without it."""
    with locked(paths.operator, poll_seconds=0, may_wait=lambda: False) as is_held:
        if not is_held:
            raise WinbackError(
                f"{paths.source} is operated already by {_other(paths)}; use that one, or end it "
                "first."
            )
        paths.operator.write_text(json.dumps(asdict(mark)) + "\n", encoding="utf-8")
        yield


def _other(paths: SourcePaths) -> str:
    """Return who holds the lock; it may be just about to write its mark."""
    ends = time.monotonic() + MARK_SECONDS
    while time.monotonic() < ends:
        with suppress(ValueError, TypeError):
            return f"the {Mark(**json.loads(paths.operator.read_text(encoding='utf-8')))}"
        time.sleep(0.05)
    return "another UI or daemon"


def _check_port(host: str, port: int) -> None:
    """Find out before anything starts whether the web server will get its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fault = f"Port {port} is in use by another program; choose another with --port."
        elif error.errno == errno.EACCES:
            fault = f"Port {port} is not allowed to you; choose one from 1024 on with --port."
        else:
            fault = f"--host {host}: {error.strerror or error}; choose an address of this machine."
        raise WinbackError(fault) from None


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent was killed; elsewhere it has to be ended."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
