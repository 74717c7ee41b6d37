"""`python -m benchmarks`: what a full build and the next day's run cost, against plain SQL."""

import argparse
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks import loader, plain
from benchmarks.measuring import (
    Measured,
    bytes_below,
    data_directory,
    markdown_table,
    measure,
    winback,
)
from benchmarks.phases import PHASES, node_seconds, phase_seconds
from dagster_project.config.source import load_source
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import literal

SOURCE = "simulated"
# Of plain SQL and of the loader alone.
REPEATS = 2
SLOWEST = 15
# Where the customer-days, states, gaps and cohorts that plain SQL makes are made.
SAME_TABLES = ("int_customer_days", "int_buyers", "int_purchase_days", "cohort_retention")
NOT_MEASURED = "–"


@dataclass
class Result:
    """The figures of one size by their names in the table; those not reached are missing."""

    line_count: int
    figures: dict[str, str] = field(default_factory=dict)
    full_nodes: dict[str, float] = field(default_factory=dict)
    next_day_nodes: dict[str, float] = field(default_factory=dict)

    def add_seconds(self, name: str, value: float) -> None:
        self.figures[f"{name}, s"] = f"{value:,.1f}"

    def add_bytes(self, name: str, value: int) -> None:
        self.figures[f"{name}, GB"] = f"{value / 1e9:,.2f}"

    def add_ratio(self, name: str, one: float, other: float) -> None:
        self.figures[f"**{name}**"] = f"**{one / other:.2f}**"

    def add_program(self, name: str, measured: Measured, seconds: float | None = None) -> None:
        """Add what a program took, or the seconds it took by itself; stop if it failed."""
        self.add_seconds(f"**{name}**", measured.seconds if seconds is None else seconds)
        self.add_seconds(f"{name}: CPU", measured.cpu_seconds)
        self.add_bytes(f"{name}: peak memory", measured.peak_bytes)
        if measured.code:
            raise _FailedError(name, measured)


class _FailedError(Exception):
    """A measured program failed."""

    def __init__(self, name: str, measured: Measured) -> None:
        super().__init__(
            f"{name} failed with exit code {measured.code}:\n{measured.messages[-3000:]}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Simulates a business of each size, then measures plain SQL, the loader "
        "alone, a full build and the next day's run over the same files, and prints a table. "
        "Needs Linux.",
    )
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        metavar="N",
        default=[1_000_000, 10_000_000],
        help="sizes, one after the other (default: 1 and 10 million)",
    )
    parser.add_argument("--seed", type=int, metavar="N", default=1, help="default: %(default)s")
    parser.add_argument(
        "--memory-limit", default="12GB", help="DuckDB's, in all programs (default: %(default)s)"
    )
    parser.add_argument(
        "--cores", type=int, default=2, help="for all programs (default: %(default)s)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="keep everything there (default: a temporary folder)",
    )
    parsed = parser.parse_args()
    # DuckDB takes as many threads as there are cores; the programs inherit them.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parsed.cores])
    results = []
    is_complete = True
    for line_count in parsed.lines:
        result = Result(line_count)
        results.append(result)
        with data_directory(parsed.data_dir and parsed.data_dir / str(line_count)) as data_dir:
            try:
                _benchmark(result, data_dir, parsed.seed, parsed.memory_limit)
            except _FailedError as error:
                is_complete = False
                _print(str(error))
    print(report(results))
    sys.exit(not is_complete)


def _benchmark(result: Result, data_dir: Path, seed: int, memory_limit: str) -> None:
    """Fill in a result, program by program."""
    paths = SourcePaths(data_dir, SOURCE)
    last_day = load_source(paths).last_day
    day_before = last_day - timedelta(days=1)
    limits = {"memory_limit": memory_limit, "data_dir": data_dir}
    _remove_former(paths)

    _print(f"{result.line_count:,} lines: simulating")
    size = ("--lines", result.line_count, "--seed", seed)
    result.add_program("simulate", winback("simulate", "--source", SOURCE, *size, **limits))
    withheld = withhold_day(paths, last_day, data_dir / "withheld")
    result.add_bytes("files", bytes_below(paths.landing))

    _print("plain SQL")
    database = data_dir / "plain.duckdb"
    module = (sys.executable, "-m", plain.__name__)
    measured, steps = _quickest(*module, SOURCE, day_before, database, **limits)
    for name, seconds in steps.items():
        result.add_seconds(f"plain SQL: {name}", seconds)
    # Without the start of Python, in favour of the yardstick.
    plain_seconds = sum(steps.values())
    result.add_program("plain SQL", measured, plain_seconds)
    plain_load_seconds = steps["load"]
    result.add_bytes("plain SQL: on disk", database.stat().st_size)
    database.unlink()

    _print("the loader alone")
    module = (sys.executable, "-m", loader.__name__)
    measured, steps = _quickest(*module, SOURCE, database, **limits)
    result.add_program("loader alone", measured, sum(steps.values()))
    loader_seconds = steps["load"]
    database.unlink()

    _print("full build")
    full = _run(result, "full build", result.full_nodes, paths, limits, "--as-of", day_before)

    _print("the next day's run")
    withheld.rename(paths.landing / withheld.name)
    next_day = _run(result, "next day", result.next_day_nodes, paths, limits)

    result.add_ratio("loader / plain SQL: load", loader_seconds, plain_load_seconds)
    same_seconds = loader_seconds + sum(result.full_nodes[name] for name in SAME_TABLES)
    result.add_ratio("loader and the same tables / plain SQL", same_seconds, plain_seconds)
    result.add_ratio("full build / plain SQL", full.seconds, plain_seconds)
    result.add_ratio("next day / full build", next_day.seconds, full.seconds)


def _quickest(*command: object, **limits: object) -> tuple[Measured, dict[str, float]]:
    """Run a program a few times; return the quickest, and the seconds of its steps.

    It is short, so a moment's other work on the machine would tell too much.
    """
    runs = []
    for _ in range(REPEATS):
        measured = measure(*command, **limits)
        if measured.code:
            return measured, {}
        runs.append((measured, json.loads(measured.output)))
    return min(runs, key=lambda run: sum(run[1].values()))


def withhold_day(paths: SourcePaths, day: date, folder: Path) -> Path:
    """Move the lines of the last day into a file of their own, outside the landing folder."""
    file = paths.landing / f"sales-{day:%Y-%m}.parquet"
    shortened = file.with_suffix(".new")
    withheld = folder / f"sales-{day}.parquet"
    folder.mkdir(exist_ok=True)
    with duckdb.connect() as connection:
        for target, is_kept in ((shortened, f"< date '{day}'"), (withheld, f">= date '{day}'")):
            connection.execute(
                f"copy (from {literal(file)} where ordered_at {is_kept}) to {literal(target)} "
                "(format parquet)"
            )
    shortened.replace(file)
    return withheld


def _remove_former(paths: SourcePaths) -> None:
    """Remove what an earlier benchmark left in a data directory that is kept."""
    for folder in (
        paths.landing,
        paths.warehouse_dir,
        paths.state.parent,
        paths.published,
        paths.dagster_home,
    ):
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    result: Result,
    name: str,
    nodes: dict[str, float],
    paths: SourcePaths,
    limits: dict[str, object],
    *arguments: object,
) -> Measured:
    """Run `winback`; add its phases, and to `nodes` the seconds of dbt's models and tests."""
    measured = winback("run", "--source", SOURCE, *arguments, **limits)
    seconds = phase_seconds(paths)
    for phase in PHASES:
        if phase in seconds:
            result.add_seconds(f"{name}: {phase}", seconds[phase])
    # Starting up, planning and summing up.
    result.add_seconds(f"{name}: the rest", measured.seconds - sum(seconds.values()))
    nodes.update(node_seconds(paths))
    result.add_bytes(f"{name}: warehouse on disk", bytes_below(paths.warehouse_dir))
    result.add_bytes(f"{name}: release on disk", bytes_below(paths.current.resolve()))
    result.add_program(name, measured)
    return measured


def report(results: list[Result]) -> str:
    """Return the table of all sizes, and the slowest models and tests of the largest."""
    names = dict.fromkeys(name for result in results for name in result.figures)
    rows = [["", *(f"{result.line_count:,} lines" for result in results)]]
    rows += [
        [name, *(result.figures.get(name, NOT_MEASURED) for result in results)] for name in names
    ]
    largest = max(results, key=lambda result: (bool(result.full_nodes), result.line_count))
    slowest = sorted(largest.full_nodes.items(), key=lambda node: -node[1])[:SLOWEST]
    nodes = [[f"models and tests, {largest.line_count:,} lines", "full build, s", "next day, s"]]
    for name, seconds in slowest:
        next_day = largest.next_day_nodes.get(name)
        nodes.append(
            [name, f"{seconds:,.1f}", NOT_MEASURED if next_day is None else f"{next_day:,.1f}"]
        )
    return "\n\n".join(markdown_table(table) for table in (rows, nodes))


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
