"""The suites of the two gates: what comes in (`raw`) and what goes out (`release`).

A suite is `expectations/<gate>/<table>.json`. Judging by it only reads; what a verdict leads to is
up to the asset checks and to the release.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dagster_project.errors import WinbackError, first_line, in_words, quoting_nothing
from dagster_project.gates.outcomes import TableVerdict
from dagster_project.paths import EXPECTATIONS_DIR

NO_FILES: Mapping[str, Path] = MappingProxyType({})


def suite_tables(gate: str) -> list[str]:
    """Return the tables that the gate judges."""
    return sorted(path.stem for path in (EXPECTATIONS_DIR / gate).glob("*.json"))


def read_suite(gate: str, table: str) -> dict[str, Any]:
    """Return the gate's suite for a table as its file holds it."""
    file = EXPECTATIONS_DIR / gate / f"{table}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def validate(
    gate: str,
    tables: Iterable[str],
    database: Path,
    schema: str,
    attach: Mapping[str, Path] = NO_FILES,
) -> list[TableVerdict]:
    """Judge tables inside their DuckDB file; afterwards no lock on any file is held.

    Args:
        gate: `raw` or `release`.
        tables: Tables in `schema` of `database`, each with a suite of the gate.
        database: File that holds the tables; opened read-only, as are the attached ones. This
            process must not have it open for writing.
        schema: Schema of the tables.
        attach: Further files by the alias under which the suites' SQL names them.

    Raises:
        WinbackError: An expectation could not be judged; that is never a verdict.
    """
    # Imported here because GX takes seconds to import.
    from dagster_project.gates import judging

    verdicts = []
    with judging.opened(database, attach) as datasource:
        for table in tables:
            suite = read_suite(gate, table)
            try:
                result = judging.validate_table(datasource, suite, schema, table)
            except Exception as error:
                said = in_words(type(error).__name__, str(error)) or quoting_nothing(str(error))
                raise WinbackError(
                    f"The {gate} gate could not judge {table} in {database.name}: "
                    f"{first_line(said)}"
                ) from error
            verdicts.append(TableVerdict.read(gate, table, result))
    return verdicts
