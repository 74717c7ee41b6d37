"""The pages a person reads of the gates: Great Expectations' own, and an index beside them.

They are written into a folder; which one, and of which verdicts, is up to the caller.
"""

import html
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dagster_project.errors import WinbackError, in_words
from dagster_project.gates import suites
from dagster_project.gates.outcomes import Outcome, TableVerdict

# Who tells, in GX, of a page that could not be written.
BUILDER = "great_expectations.render.renderer.site_builder"
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


def build_data_docs(verdicts: Iterable[TableVerdict], folder: Path) -> None:
    """Write GX's HTML pages of suites and results, and an `index.html` that needs no network.

    The pages hold counts and example ids, no other values of the tables. GX's own index stays
    empty, and its pages show no status, where the scripts and fonts they link to are out of reach.
    """
    # Imported here because GX takes seconds to import.
    import great_expectations as gx
    from great_expectations.core import expectation_validation_result
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    from dagster_project.gates import judging

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.resolve()),
        },
    }
    context = judging.ephemeral_context(gates=site)
    schema = expectation_validation_result.expectationSuiteValidationResultSchema
    run_id = RunIdentifier(run_name="gates", run_time=datetime.now(UTC))
    rows = []
    for verdict in verdicts:
        gate, table = verdict.gate, verdict.table_name
        suite = gx.ExpectationSuite(**suites.read_suite(gate, table))
        context.suites.add(suite)
        result = schema.load(verdict.result)
        result.meta |= {"run_id": run_id, "validation_time": run_id.run_time}
        context.validation_results_store.set(
            ValidationResultIdentifier(ExpectationSuiteIdentifier(suite.name), run_id, table),
            result,
        )
        page = Path("validations", gate, table, *run_id.to_tuple(), f"{table}.html")
        rows += [_index_row(outcome, page) for outcome in verdict.outcomes]
    with _raising():
        context.build_data_docs(build_index=False)
    index = INDEX_PAGE.format(rows="\n".join(rows))
    (folder / "index.html").write_text(index, encoding="utf-8")


@contextmanager
def _raising() -> Iterator[None]:
    """Raise what GX prints, with a stack, and passes over: a page that could not be written."""
    logger, handler = logging.getLogger(BUILDER), logging.Handler(logging.ERROR)
    said: list[str] = []
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    if said:
        raise WinbackError(
            in_words("OSError", said[0]) or "The pages of the gates' results could not be written."
        )


def _index_row(outcome: Outcome, page: Path) -> str:
    status = "passed" if outcome.is_passed else "blocks" if outcome.is_blocking else "warns"
    link = f'<a href="{page.as_posix()}">{outcome.gate} {outcome.table_name}</a>'
    texts = (
        outcome.description,
        outcome.observed_value,
        outcome.threshold,
        outcome.unexpected,
        ", ".join(outcome.example_ids),
    )
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    return f'<tr class="{status}"><td>{status}</td><td>{link}</td>{cells}</tr>'
