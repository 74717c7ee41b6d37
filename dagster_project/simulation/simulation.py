"""A simulated business of any size, and the truth about every customer of it.

No real data set says when a customer relationship ended: nobody cancels. Here it is known, so one
can measure how many of those really gone are called lost, and how long after. `draws` says by which
models they buy and leave.

To add to the business (interactions, campaigns): draw under a purpose of its own, which leaves
everything else as it is, and write one more kind of file (`FILES`).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatch
from pathlib import Path

from dagster_project.config.source import Source
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import source_lock
from dagster_project.simulation.draws import define_draws, draw_customers
from dagster_project.simulation.lines import FILES, write_customers, write_month, write_truth
from dagster_project.warehouse import MEMORY, connect


@dataclass(frozen=True)
class Business:
    """What was written."""

    customer_count: int
    line_count: int
    return_count: int
    truth: Path


def simulate(
    source: Source,
    paths: SourcePaths,
    *,
    lines: int,
    seed: int,
    inform: Callable[[str], None],
    threads: int | None = None,
) -> Business:
    """Write the business of a source into its landing folder, in place of what is there.

    The number of lines is met but for a basket and the chance of returns. All files appear
    together, or none.

    Args:
        source: Gives the days, the industry and the files' names.
        paths: Where the source lies.
        lines: Lines of transactions to write, returns included.
        seed: Another seed is another business.
        inform: Told about progress.
        threads: Of DuckDB; the result does not depend on it.

    Raises:
        ConfigurationError: the source is not one that can be simulated.
        WinbackError: the landing folder holds files that were not simulated.
    """
    _check_can_be_simulated(source, lines)
    with source_lock(paths, inform):
        _check_holds_simulated_only(paths)
        with _replacing(paths) as (landing, truth), connect(paths, MEMORY) as connection:
            if threads:
                connection.execute(f"set threads = {threads}")
            define_draws(connection, seed)
            draw_customers(connection, source, lines)
            (customer_count,) = connection.execute("select count(*) from customers").fetchone()
            inform(f"{customer_count:,} customers drawn; writing what they bought.")
            line_count = sum(
                write_month(connection, source, month, landing) for month in _months(source)
            )
            write_customers(connection, source, landing)
            write_truth(connection, source, truth)
            (bought_count,) = connection.execute("select sum(line_count) from baskets").fetchone()
    return Business(customer_count, line_count, line_count - bought_count, paths.simulated_truth)


def _check_can_be_simulated(source: Source, lines: int) -> None:
    if lines < 1:
        raise ConfigurationError(f"--lines {lines}: give a number of lines of at least 1.")
    if source.last_day is None:
        raise ConfigurationError(
            f"{source.place('kind')}: a simulated business has a last day; set kind: finished and "
            "last_day."
        )
    for table, declared in source.tables.items():
        if declared.files != (FILES.get(table),):
            raise ConfigurationError(
                f"{source.place('tables', table)}: {source.name} is not a simulated source. What "
                f"simulate writes is read as {' and '.join(FILES.values())}; copy "
                "data/sources/simulated.yml for a simulated business of your own."
            )


def _check_holds_simulated_only(paths: SourcePaths) -> None:
    """Refuse to replace a folder into which somebody has put files of another origin."""
    for file in sorted(paths.landing.rglob("*")):
        if not any(fnmatch(file.name, pattern) for pattern in FILES.values()):
            raise WinbackError(
                f"{paths.landing} holds {file.relative_to(paths.landing)}, which was not "
                "simulated. Move it away: simulate replaces everything there."
            )


@contextmanager
def _replacing(paths: SourcePaths) -> Iterator[tuple[Path, Path]]:
    """Give a new landing folder and truth file to write to; switch both in if all went well.

    The truth goes first and comes last, so it never stands beside files of another business.
    """
    # The landing folder may be a link to a larger disk.
    landing, truth = paths.landing.resolve(), paths.simulated_truth
    new, old = (landing.with_name(f".{landing.name}.{mark}") for mark in ("new", "old"))
    new_truth = truth.with_name(f".{truth.name}.new")

    def clear() -> None:
        if old.exists() and not landing.exists():
            # Stopped between the two renames.
            old.rename(landing)
        _remove(new, old, new_truth)

    # What a killed simulation could not clear.
    clear()
    try:
        new.mkdir(parents=True)
        truth.parent.mkdir(parents=True, exist_ok=True)
        yield new, new_truth
        truth.unlink(missing_ok=True)
        if landing.exists():
            landing.rename(old)
        new.rename(landing)
        new_truth.rename(truth)
    finally:
        clear()


def _remove(*leftovers: Path) -> None:
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _months(source: Source) -> list[date]:
    """Return the first days of the months of the source's period."""
    months = [source.first_day.replace(day=1)]
    while (following := (months[-1] + timedelta(days=31)).replace(day=1)) <= source.last_day:
        months.append(following)
    return months
