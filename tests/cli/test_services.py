"""One UI or daemon a source, and none of its processes left, with stand-ins and for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shop import SHOP, WINBACK, make_shop

from dagster_project.cli.services import LOCATION, Mark
from dagster_project.files import locked
from dagster_project.paths import SourcePaths

# Long enough for a busy machine; what is waited for comes within seconds.
SECONDS = 60
# Stand-ins of Dagster's processes: each has a child that no signal but SIGKILL ends.
STAND_IN = """
import signal, subprocess, sys, time
from pathlib import Path
stubborn = "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(100)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
with Path(sys.argv[1]).open("a") as file:
    file.write(f"{child.pid}\\n")
time.sleep(float(sys.argv[2]))
"""
SERVE = """
import sys
from pathlib import Path
from dagster_project.cli import services
from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
folder, port, lives = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
services.GRACE_SECONDS, services.LIVES_SECONDS = 1.0, lives
stand_in = ["stand_in", str(folder / "children"), sys.argv[4]]
services._services = lambda *_: [services._Service("code server", [*stand_in, "--socket", "none"])]
services.PROJECT_DIR = folder
paths = SourcePaths(folder, "shop")

def prepare():
    with (folder / "prepared").open("a") as file:
        file.write("once ")

try:
    services.serve(
        paths,
        host="127.0.0.1",
        port=port or None,
        prepare=prepare,
        inform=lambda text: print(text, flush=True),
    )
except WinbackError as error:
    sys.exit(f"winback: {error}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    (tmp_path / "children").touch()
    return tmp_path


def serve(
    folder: Path, port: int = 0, lives: float = 0.0, life: float = 100.0
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, *map(str, (folder, port, lives, life))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell does to the commands it starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


def started(folder: Path, count: int = 1) -> list[int]:
    """Wait for so many stand-ins' children and return their ids."""
    ends = time.monotonic() + SECONDS
    while len(found := (folder / "children").read_text().split()) < count:
        assert time.monotonic() < ends, "nothing was started"
        time.sleep(0.05)
    return [int(pid) for pid in found]


def is_living(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_end(pids: list[int]) -> None:
    ends = time.monotonic() + 20
    while any(map(is_living, pids)):
        assert time.monotonic() < ends, [pid for pid in pids if is_living(pid)]
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_the_background_with_all_its_processes(
    folder: Path, number: signal.Signals
) -> None:
    with serve(folder) as process:
        children = started(folder)
        process.send_signal(number)
        output, messages = process.communicate(timeout=SECONDS)
    assert not any(map(is_living, children))
    assert (process.returncode, messages) == (0, "")
    assert output.splitlines()[-1] == "The daemon of shop has ended."


@pytest.mark.parametrize(
    ("is_ui", "where"), [(True, "UI at http://127.0.0.1:{}"), (False, "daemon")]
)
def test_a_second_one_is_refused_with_the_place_of_the_first(
    folder: Path, is_ui: bool, where: str
) -> None:
    port = free_port()
    with serve(folder, port if is_ui else 0) as process:
        started(folder)
        # Also if it would take another port, or none.
        for other in (port, 0):
            with serve(folder, other) as second:
                assert second.communicate(timeout=SECONDS) == (
                    "",
                    f"winback: shop is operated already by the {where.format(port)} "
                    f"(process {process.pid}); use that one, or end it first.\n",
                )
            assert second.returncode == 1
        assert len(started(folder)) == 1
        # What a refused one did not do: mark runs as dead.
        assert (folder / "prepared").read_text() == "once "
        process.terminate()
        process.communicate(timeout=SECONDS)


def test_a_mark_of_one_that_was_killed_refuses_nobody_and_its_processes_end(folder: Path) -> None:
    with serve(folder) as process:
        (child,) = started(folder)
        stand_in = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
        process.kill()
        # Not to the end of its output, which the child still holds.
        process.wait()
    assert str(process.pid) in SourcePaths(folder, "shop").operator.read_text()
    wait_for_end([stand_in])
    os.kill(child, signal.SIGKILL)
    with serve(folder) as next_one:
        started(folder, 2)
        next_one.terminate()
        next_one.communicate(timeout=SECONDS)
    assert next_one.returncode == 0


def test_a_port_in_use_ends_the_start_with_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve(folder, port) as process:
            assert process.communicate(timeout=SECONDS) == (
                "",
                f"winback: Port {port} is in use by another program; choose another with --port.\n",
            )
    assert process.returncode == 1
    assert (folder / "children").read_text() == ""


def test_a_process_that_ends_by_itself_is_started_again(folder: Path) -> None:
    with serve(folder, life=0.2) as process:
        first, second, *_ = started(folder, 3)
        # What it had started goes before its place is taken.
        wait_for_end([first, second])
        process.terminate()
        output, _ = process.communicate(timeout=SECONDS)
    assert "The code server ended by itself (code 0); starting it again." in output


def test_a_process_that_does_not_live_ends_all_with_one_line(folder: Path) -> None:
    with serve(folder, life=0.2, lives=SECONDS) as process:
        _, messages = process.communicate(timeout=SECONDS)
    assert messages == (
        "winback: The code server ended by itself (code 0); what it said stands above.\n"
    )
    assert process.returncode == 1
    assert not any(map(is_living, started(folder)))


def test_one_in_another_container_is_told_with_its_host() -> None:
    mark = Mark("UI", 7, "elsewhere", "http://0.0.0.0:3000")
    assert str(mark) == "UI at http://0.0.0.0:3000 (process 7 on elsewhere)"


REFUSED = """
import sys
from dagster_project.cli.main import main
try:
    main(["daemon", "--source", "shop", "--data-dir", sys.argv[1]])
finally:
    print("dagster" in sys.modules)
"""


def test_a_second_one_is_refused_before_it_looks_at_any_run(tmp_path: Path) -> None:
    paths = make_shop(tmp_path / "data")
    with locked(paths.operator, poll_seconds=0, may_wait=lambda: False):
        second = subprocess.run(
            [sys.executable, "-c", REFUSED, paths.data_dir], capture_output=True, text=True
        )
    assert (second.returncode, second.stdout) == (1, "False\n")
    assert second.stderr == (
        "winback: shop is operated already by another UI or daemon; use that one, or end it "
        "first.\n"
    )
    assert not (paths.dagster_home / "dagster.yaml").exists()


@pytest.fixture
def real_ui(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Give the UI of a shop in the background of a shell that leaves; killed if it stays."""
    make_shop(tmp_path / "data")
    port, log = free_port(), tmp_path / "log"
    command = [WINBACK, "ui", "--source", SHOP, "--port", port, "--data-dir", tmp_path / "data"]
    with log.open("w") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
    try:
        yield process, port, log
    finally:
        if process.poll() is None:
            for pid in (*family(process.pid), process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def family(root: int) -> list[int]:
    """Return a process's children and theirs."""
    found = []
    for child in Path(f"/proc/{root}/task/{root}/children").read_text().split():
        found += [int(child), *family(int(child))]
    return found


def ask(port: int, query: str) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def test_the_real_ui_serves_its_source_and_ends(
    real_ui: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    process, port, log = real_ui
    names = (
        "{repositoriesOrError{...on RepositoryConnection{nodes{location{name} schedules{name}}}}}"
    )
    ends, shown = time.monotonic() + 200, None
    while not shown:
        assert process.poll() is None and time.monotonic() < ends, log.read_text()
        time.sleep(0.5)
        try:
            shown = ask(port, names)["repositoriesOrError"]["nodes"]
        except OSError:
            continue
    assert shown == [{"location": {"name": LOCATION}, "schedules": [{"name": "morning_run"}]}]
    everyone = family(process.pid)
    # Code server and its worker, daemon and web server.
    assert len(everyone) >= 4
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert not any(map(is_living, everyone)), log.read_text()
