"""A small source whose raw layer is a warehouse file, so that the raw gate can judge it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
from support.raw_shop import Shop

from dagster_project import warehouse
from dagster_project.config.source import Source
from dagster_project.gates import limits, suites
from dagster_project.gates.lost_lines import write_lost_lines
from dagster_project.gates.outcomes import Outcome
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths

# What is judged of the loaded lines and files; the other tables are empty.
TABLES = (
    "transactions",
    "loads",
    "load_days",
    "load_report",
    "duplicate_keys",
    "repeated_lines",
)


@contextmanager
def gate_shop(folder: Path, **parts: str) -> Iterator[Shop]:
    """Yield a shop whose raw layer is the warehouse file, as the gate needs it."""
    with duckdb.connect() as connection:
        shop = Shop(folder, connection, **parts)
    with warehouse.connect(shop.paths) as connection:
        shop.connection = connection
        prepare_raw(connection)
        yield shop


def write_audit(paths: SourcePaths, source: Source, as_of: date = date(2024, 12, 31)) -> None:
    """Write what the suites judge against, with no release before."""
    limits.write_limits(paths, source, as_of, as_of + timedelta(days=1))
    write_lost_lines(paths, None, is_accepted=False)


def judged(
    shop: Shop,
    table: str,
    as_of: date = date(2024, 12, 31),
    *,
    former: Mapping[str, Any] | None = None,
    is_accepted: bool = False,
) -> dict[str, Outcome]:
    """Return the outcomes of a table by expectation; the warehouse is closed meanwhile.

    `former` is what the current release's manifest says of its lines, `is_accepted` whether fewer
    are accepted.
    """
    shop.connection.close()
    write_audit(shop.paths, shop.source, as_of)
    write_lost_lines(shop.paths, former, is_accepted=is_accepted)
    (verdict,) = suites.validate("raw", [table], shop.paths.warehouse, "raw")
    shop.connection = duckdb.connect(str(shop.paths.warehouse))
    return {one.expectation: one for one in verdict.outcomes}


def failed_outcomes(shop: Shop, table: str) -> dict[str, Outcome]:
    """Return what failed of a table, warnings included."""
    return {name: one for name, one in judged(shop, table).items() if not one.is_passed}


def failed_gate(shop: Shop, table: str) -> dict[str, Outcome]:
    """Return the blocking outcomes of a table."""
    return {name: one for name, one in judged(shop, table).items() if one.is_blocking}


def warned(shop: Shop, table: str) -> dict[str, str]:
    """Return what the warnings of a table observe, by expectation."""
    return {
        name: one.observed_value
        for name, one in failed_outcomes(shop, table).items()
        if not one.is_blocking
    }


def told(paths: SourcePaths) -> dict[str, str]:
    """Return what the raw gate says is wrong: expectation and severity."""
    verdicts = suites.validate("raw", TABLES, paths.warehouse, "raw")
    return {
        one.expectation: one.severity
        for verdict in verdicts
        for one in verdict.outcomes
        if not one.is_passed
    }
