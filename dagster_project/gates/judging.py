"""Great Expectations at work: a DuckDB file opened to it, and a table judged by a suite.

The only module that deals with GX's contexts and datasources. Importing it loads GX, which takes
seconds; the other modules import it only when they are about to judge or to write data docs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.data_context import EphemeralDataContext, set_context
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent import SQLDatasource

from dagster_project.gates import (
    dialect,
    expectation_types,  # noqa: F401 - GX knows them once they are imported.
)
from dagster_project.shown import shown_in


class UnsavedContext(EphemeralDataContext):
    """A context whose configuration nobody asks for again."""

    def _save_project_config(self) -> None:
        """Write nothing: GX would write YAML twice a table, which took a sixth of judging."""


def ephemeral_context(**data_docs_sites: dict[str, Any]) -> EphemeralDataContext:
    """Return a context that keeps nothing on disk, shows no progress and reports to nobody."""
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites=data_docs_sites,
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = UnsavedContext(config)
    set_context(context)
    return context


@contextmanager
def opened(database: Path, attach: Mapping[str, Path]) -> Iterator[SQLDatasource]:
    """Yield a database to GX; afterwards this process holds no lock on any of the files."""
    dialect.register()
    context = ephemeral_context()
    # The paths go into `connect_args`: in the URL their `$`, `?` or blanks would be interpreted.
    files = {alias: str(path) for alias, path in attach.items()}
    datasource = context.data_sources.add_sql(
        "warehouse",
        connection_string=f"{dialect.URL_SCHEME}://",
        kwargs={"connect_args": {"database": str(database), "attach": files}},
    )
    try:
        yield datasource
    finally:
        # GX keeps two engines: the datasource's own, and the one that computes.
        datasource.get_engine().dispose()
        datasource.get_execution_engine().engine.dispose()


def validate_table(
    datasource: SQLDatasource, suite: Mapping[str, Any], schema: str, table: str
) -> dict[str, Any]:
    """Judge a table by a suite as read from its file; return GX's result as JSON, in its order.

    The values found are left out, as they may be personal; ids lead a person to the rows, and
    are left out where they look like a contact.

    Raises:
        ValueError: The suite holds an expectation that GX does not know.
    """
    result_format = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": suite["meta"]["id_columns"],
        "partial_unexpected_count": 5,
        "exclude_unexpected_values": True,
    }
    asset = datasource.add_table_asset(table, table_name=table, schema_name=schema)
    batch = asset.add_batch_definition_whole_table(table).get_batch()
    result = batch.validate(gx.ExpectationSuite(**suite), result_format=result_format)
    document = result.to_json_dict()
    by_id = {one["expectation_config"]["meta"]["id"]: one for one in document["results"]}
    ids = [expectation["meta"]["id"] for expectation in suite["expectations"]]
    # GX leaves out what it cannot read, with a line in the log.
    if unread := [id_ for id_ in ids if id_ not in by_id]:
        raise ValueError(f"expectation {unread[0]} is of an unknown type or has wrong arguments")
    return document | {
        "results": [
            one | {part: shown_in(one[part]) for part in ("result", "exception_info")}
            for one in (by_id[id_] for id_ in ids)
        ]
    }
