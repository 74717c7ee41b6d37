"""`python -m benchmarks.scores`: what fitting and scoring cost, by number of customers."""

import argparse
import sys
from pathlib import Path

import duckdb

from benchmarks.measuring import Measured, data_directory, markdown_table, measure, winback
from dagster_project.config.source import load_source
from dagster_project.paths import SourcePaths
from dagster_project.scores import scoring
from dagster_project.warehouse import connect

SOURCE = "simulated"
LINES_PER_CUSTOMER = 20
COLUMNS = ("buyers", "seconds", "CPU seconds", "peak memory, GB")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scores",
        description="Simulates a business, runs it, then fits, tests and scores all buyers once "
        "more in a process of its own, and prints its time and peak memory.",
    )
    parser.add_argument(
        "--customers",
        type=int,
        nargs="+",
        metavar="N",
        default=[1_000_000],
        help="sizes to measure (default: 1000000)",
    )
    parser.add_argument("--memory-limit", default="2GB", help="DuckDB's (default: %(default)s)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="measure on the warehouse there instead of simulating one",
    )
    parser.add_argument("--only-score", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.only_score:
        score(SourcePaths(parsed.data_dir, SOURCE))
        return
    rows: list[tuple[object, ...]] = [COLUMNS]
    for count in parsed.customers if parsed.data_dir is None else [0]:
        with data_directory(parsed.data_dir) as data_dir:
            if parsed.data_dir is None:
                size = ("--lines", count * LINES_PER_CUSTOMER)
                for command in (("simulate", *size), ("run", "--source", SOURCE)):
                    _check(winback(*command, memory_limit="12GB", data_dir=data_dir))
            program = (sys.executable, "-m", "benchmarks.scores", "--only-score")
            measured = measure(
                *program,
                "--data-dir",
                data_dir,
                memory_limit=parsed.memory_limit,
                data_dir=data_dir,
            )
            _check(measured)
            rows.append((f"{_buyers(data_dir):,}", *_figures(measured)))
    print(markdown_table(rows))


def score(paths: SourcePaths) -> None:
    """Write the tables of scores of a warehouse anew."""
    source = load_source(paths)
    with connect(paths) as connection:
        scoring.write_scores(connection, scoring.Settings.of(source, source.last_day))


def _figures(measured: Measured) -> tuple[str, str, str]:
    return (
        f"{measured.seconds:.1f}",
        f"{measured.cpu_seconds:.1f}",
        f"{measured.peak_bytes / 1e9:.2f}",
    )


def _buyers(data_dir: Path) -> int:
    warehouse = SourcePaths(data_dir, SOURCE).warehouse
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute("select count(*) from scores.customer_scores").fetchone()[0]


def _check(measured: Measured) -> None:
    if measured.code:
        raise SystemExit(measured.messages or measured.output)


if __name__ == "__main__":
    main()
