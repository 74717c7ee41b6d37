"""The two gates: what comes in (`raw`) and what goes out (`release`), judged by GX suites.

A suite is `expectations/<gate>/<table>.json`. The gates only read; what a verdict leads to is up to
the asset checks and to the release.
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dagster_project.errors import WinbackError
from dagster_project.paths import EXPECTATIONS_DIR

INDEX_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gates</title><style>
body {{ font: 14px/1.4 sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; vertical-align: top; padding: .3em .8em; border-top: 1px solid #ccc; }}
.warns {{ background: #fff3cd; }}
.blocks {{ background: #f8d7da; }}
</style></head><body><h1>Gates</h1><table>
<tr><th>status<th>gate and table<th>expectation<th>observed<th>threshold<th>unexpected<th>examples
{rows}
</table></body></html>
"""
NO_FILES: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """What one expectation observed; `expectation` is its `meta.id` in the suite."""

    gate: str
    table_name: str
    expectation: str
    description: str
    severity: str
    is_passed: bool
    observed_value: str
    threshold: str
    evaluated_count: int
    unexpected_count: int
    example_ids: tuple[str, ...]
    mend: str

    @property
    def is_blocking(self) -> bool:
        """Whether this outcome alone blocks the gate; warnings only report."""
        return not self.is_passed and self.severity == "critical"


@dataclass(frozen=True)
class TableVerdict:
    """The outcomes of a table's suite, and GX's own result (JSON) for the data docs."""

    gate: str
    table_name: str
    outcomes: tuple[Outcome, ...]
    result: dict[str, Any]

    @property
    def is_passed(self) -> bool:
        """Whether nothing blocks."""
        return not any(outcome.is_blocking for outcome in self.outcomes)


def suite_tables(gate: str) -> list[str]:
    """Return the tables that the gate judges."""
    return sorted(path.stem for path in (EXPECTATIONS_DIR / gate).glob("*.json"))


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
    from dagster_project.gates import dialect

    verdicts = []
    with dialect.opened(database, attach) as datasource:
        for table in tables:
            suite = json.loads(_suite_file(gate, table).read_text(encoding="utf-8"))
            try:
                result = dialect.validate_table(datasource, suite, schema, table)
            except Exception as error:
                raise WinbackError(
                    f"The {gate} gate could not judge {table} in {database.name}: "
                    f"{_first_line(str(error))}"
                ) from error
            verdicts.append(TableVerdict(gate, table, _outcomes(gate, table, result), result))
    return verdicts


def blocked_message(outcomes: Iterable[Outcome]) -> str:
    """Say for a person what blocks, with its numbers, examples and mend; empty if nothing does."""
    return "\n".join(
        line
        for outcome in outcomes
        if outcome.is_blocking
        for line in (
            f"{outcome.gate} gate, {outcome.table_name}: {outcome.expectation} failed",
            f"  expected:   {outcome.description}",
            f"  observed:   {outcome.observed_value}",
            f"  threshold:  {outcome.threshold}",
            f"  unexpected: {outcome.unexpected_count:,} of {outcome.evaluated_count:,}"
            + (f", for example {', '.join(outcome.example_ids)}" if outcome.example_ids else ""),
            f"  mend:       {outcome.mend}",
        )
    )


def build_data_docs(verdicts: Iterable[TableVerdict], folder: Path) -> None:
    """Write GX's HTML pages of suites and results, and an `index.html` that needs no network.

    The pages hold counts and example ids, no other values of the tables. GX's own index stays
    empty, and its pages show no status, where the scripts and fonts they link to are out of reach.
    """
    import great_expectations as gx
    from great_expectations.core import expectation_validation_result
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    from dagster_project.gates import dialect

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.resolve()),
        },
    }
    context = dialect.ephemeral_context(gates=site)
    schema = expectation_validation_result.expectationSuiteValidationResultSchema
    run_id = RunIdentifier(run_name="gates", run_time=datetime.now(UTC))
    rows = []
    for verdict in verdicts:
        gate, table = verdict.gate, verdict.table_name
        suite_file = _suite_file(gate, table)
        suite = gx.ExpectationSuite(**json.loads(suite_file.read_text(encoding="utf-8")))
        context.suites.add(suite)
        result = schema.load(verdict.result)
        result.meta |= {"run_id": run_id, "validation_time": run_id.run_time}
        context.validation_results_store.set(
            ValidationResultIdentifier(ExpectationSuiteIdentifier(suite.name), run_id, table),
            result,
        )
        page = Path("validations", gate, table, *run_id.to_tuple(), f"{table}.html")
        rows += [_index_row(outcome, page) for outcome in _outcomes(gate, table, verdict.result)]
    context.build_data_docs(build_index=False)
    index = INDEX_PAGE.format(rows="\n".join(rows))
    (folder / "index.html").write_text(index, encoding="utf-8")


def _index_row(outcome: Outcome, page: Path) -> str:
    status = "passed" if outcome.is_passed else "blocks" if outcome.is_blocking else "warns"
    link = f'<a href="{page.as_posix()}">{outcome.gate} {outcome.table_name}</a>'
    texts = (
        outcome.description,
        outcome.observed_value,
        outcome.threshold,
        f"{outcome.unexpected_count:,} of {outcome.evaluated_count:,}",
        ", ".join(outcome.example_ids),
    )
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    return f'<tr class="{status}"><td>{status}</td><td>{link}</td>{cells}</tr>'


def _suite_file(gate: str, table: str) -> Path:
    return EXPECTATIONS_DIR / gate / f"{table}.json"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[0]


def _outcomes(gate: str, table: str, result: Mapping[str, Any]) -> tuple[Outcome, ...]:
    return tuple(_outcome(gate, table, one) for one in result["results"])


def _outcome(gate: str, table: str, one: Mapping[str, Any]) -> Outcome:
    """Read one expectation's result as GX stores it."""
    config, result = one["expectation_config"], one["result"]
    meta = config["meta"]
    raised = _raised(one["exception_info"])
    if raised is not None:
        raise WinbackError(
            f"The {gate} gate could not judge {table}: expectation {meta['id']} raised an error:"
            f" {raised}"
        )
    # GX counts nothing in an empty table.
    evaluated, unexpected = result["element_count"], result["unexpected_count"] or 0
    return Outcome(
        gate=gate,
        table_name=table,
        expectation=meta["id"],
        description=config["description"],
        severity=config["severity"],
        is_passed=one["success"],
        observed_value=result.get("observed_value")
        or f"{unexpected:,} of {evaluated:,} unexpected",
        threshold=result.get("threshold") or meta.get("threshold") or "none unexpected",
        evaluated_count=evaluated,
        unexpected_count=unexpected,
        example_ids=_example_ids(result),
        mend=meta["mend"],
    )


def _raised(info: Mapping[str, Any]) -> str | None:
    """Return the first line of the error an expectation raised; GX keeps one info per metric."""
    infos = [info] if "raised_exception" in info else list(info.values())
    return next(
        (_first_line(one["exception_message"] or "") for one in infos if one["raised_exception"]),
        None,
    )


def _example_ids(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return up to five ids: own expectations list them, GX's give a list per id column."""
    if "partial_unexpected_index_list" not in result:
        return tuple(result.get("partial_unexpected_list", ()))
    (columns,) = result["partial_unexpected_index_list"] or [{}]
    return tuple(":".join(map(str, row)) for row in zip(*columns.values(), strict=True))
