"""Running a program to its end, with the time and memory it took."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster_project.paths import PROJECT_DIR

WINBACK = Path(sys.executable).with_name("winback")
SAMPLE_SECONDS = 0.1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """A program that has ended; all figures are sums over it and what it started.

    On a machine with other work `cpu_seconds` tell more than `seconds`.
    """

    code: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str
    messages: str


def measure(*command: object, memory_limit: str, data_dir: Path) -> Measured:
    """Run a program and sample the resident memory of its process tree."""
    environment = {
        **os.environ,
        "WINBACK_MEMORY_LIMIT": memory_limit,
        "WINBACK_DATA_DIR": str(data_dir),
    }
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as messages:
        started, cpu_started = time.monotonic(), _cpu_seconds()
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=messages, env=environment, cwd=PROJECT_DIR
        )
        peak_bytes = 0
        try:
            while process.poll() is None:
                peak_bytes = max(peak_bytes, sum(map(_resident_bytes, _tree(process.pid))))
                time.sleep(SAMPLE_SECONDS)
        finally:
            # An interrupted benchmark leaves nothing running.
            process.kill()
            process.wait()
        seconds = time.monotonic() - started
        for stream in (output, messages):
            stream.seek(0)
        return Measured(
            process.returncode,
            seconds,
            _cpu_seconds() - cpu_started,
            peak_bytes,
            output.read(),
            messages.read(),
        )


def winback(*arguments: object, memory_limit: str, data_dir: Path) -> Measured:
    """Run `winback` on a data directory."""
    return measure(WINBACK, *arguments, memory_limit=memory_limit, data_dir=data_dir)


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below a folder, links not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_symlink())


@contextmanager
def data_directory(given: Path | None) -> Iterator[Path]:
    """Yield a data directory: the given one, which is kept, else a temporary one."""
    if given:
        given = given.expanduser().resolve()
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="winback-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def markdown_table(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as a Markdown table: the first holds the names, numbers stand right."""
    head, *body = ([str(cell) for cell in row] for row in rows)
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(line(row) for row in (head, rule, *body))


def _cpu_seconds() -> float:
    """Return the CPU time of all programs that this one has run to their end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree(root: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The name, in brackets, may itself hold blanks and brackets.
            parent = int(stat.rpartition(")")[2].split()[1])
            children[parent].append(int(entry.name))
    tree = [root]
    for process in tree:
        tree += children[process]
    return tree


def _resident_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        # It has ended meanwhile.
        return 0
