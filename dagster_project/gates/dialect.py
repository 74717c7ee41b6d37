"""What Great Expectations lacks to judge inside DuckDB: a dialect and three expectations.

Importing this module loads Great Expectations, which takes seconds; `gates` imports it only when
it is about to judge.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import duckdb
import great_expectations as gx
from great_expectations.compatibility import pydantic
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent import SQLDatasource
from great_expectations.expectations.expectation import BatchExpectation
from sqlalchemy import Connection
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import NullType

URL_SCHEME = "duckdb+gate"


class GateConnection:
    """A connection whose cursors are independent of it and of each other.

    GX gives a connection back before it fetches; with one shared cursor the rows would be gone.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connections = [connection]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Hand out a new cursor: a connection of its own to the same files."""
        self._connections.append(self._connections[0].cursor())
        return self._connections[-1]

    def commit(self) -> None:
        """Do nothing: nothing is ever written."""

    def rollback(self) -> None:
        """Do nothing: nothing is ever written."""

    def close(self) -> None:
        """Close the cursors too: one left open would keep the files locked."""
        for connection in self._connections:
            connection.close()


class GateDialect(DefaultDialect):
    """DuckDB opened read-only, with further files attached read-only beside it.

    As much of a dialect as the suites need: plain SQL, no types, no temporary tables.
    """

    name = "duckdb"
    driver = "gate"
    supports_statement_cache = False

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Return the driver."""
        return duckdb

    def connect(self, *, database: str, attach: Mapping[str, str]) -> GateConnection:
        """Open the file and attach the others under their aliases.

        DuckDB shares one instance between a process's connections to a file, so the second
        connection finds the other files already attached.
        """
        connection = duckdb.connect(database, read_only=True)
        for alias, file in attach.items():
            path = file.replace("'", "''")
            connection.execute(f"attach if not exists '{path}' as {alias} (read_only)")
        return GateConnection(connection)

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Return the columns' names; attached files may hold a table of the same name."""
        rows = connection.exec_driver_sql(
            "select column_name, is_nullable from duckdb_columns() where table_name = ?"
            " and schema_name = ? and database_name = current_database() order by column_index",
            (str(table_name), schema),
        )
        return [
            {"name": name, "type": NullType(), "nullable": nullable, "default": None}
            for name, nullable in rows
        ]

    def get_pk_constraint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return no key: suites state theirs."""
        return {"constrained_columns": [], "name": None}


class ExpectQueryToFindNothingUnexpected(BatchExpectation):
    """Passes when its SQL counts nothing unexpected.

    The SQL returns exactly one row, computed inside DuckDB whatever the size of the table:
    `evaluated_count`, `unexpected_count`, `example_ids` (a list) and, where a number says more
    than the count, `observed_value` and `threshold` as text. Unlike the built-in
    UnexpectedRowsExpectation it observes something when it passes too, fetches no rows and runs
    its query once.

    `{batch}` stands for the table and must not be given an alias. GX reads other braces, and
    SQLAlchemy a colon before a word, as placeholders; a cast by `::` is fine.
    """

    query: str = pydantic.Field(description="SQL that returns one row")

    metric_dependencies: ClassVar[tuple[str, ...]] = ("query.table",)
    success_keys: ClassVar[tuple[str, ...]] = ("query",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    @pydantic.validator("query", pre=True)
    def _join_lines(cls, query: str | list[str]) -> str:  # noqa: N805
        """Let a suite file hold the SQL as one string per line."""
        return query if isinstance(query, str) else "\n".join(query)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        (row,) = metrics["query.table"]
        return _judged(
            row["evaluated_count"],
            row["unexpected_count"],
            row["example_ids"] or [],
            row.get("observed_value"),
            row.get("threshold"),
        )


class ExpectNoRowWhere(ExpectQueryToFindNothingUnexpected):
    """Passes when an SQL condition holds for no row; unknown counts as not holding.

    The condition may use window functions and subqueries. Examples are named by `id_columns`.
    """

    condition: str = pydantic.Field(description="SQL that is true for an unexpected row")
    id_columns: list[str] = pydantic.Field(description="Columns that name a row")
    query: str = ""

    @pydantic.validator("condition", pre=True)
    def _join_condition(cls, condition: str | list[str]) -> str:  # noqa: N805
        """Let a suite file hold the condition as one string per line."""
        return condition if isinstance(condition, str) else "\n".join(condition)

    @pydantic.root_validator(skip_on_failure=True)
    def _write_query(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        """Write the query; only unexpected rows cost the making of an id."""
        ids = ", ".join(values["id_columns"])
        query = f"""
            select
                count(*) as evaluated_count,
                count(*) filter (where is_unexpected) as unexpected_count,
                min(case when is_unexpected then concat_ws(':', {ids}) end, 5) as example_ids
            from (select {ids}, ({values["condition"]}) as is_unexpected from {{batch}})
        """
        return values | {"query": query}


class ExpectTableToMatchContract(BatchExpectation):
    """Passes when the table has exactly these columns with exactly these types."""

    columns: dict[str, str] = pydantic.Field(description="DuckDB type of each column")
    query: str = "select column_name, column_type from (describe select * from {batch})"

    metric_dependencies: ClassVar[tuple[str, ...]] = ("query.table",)
    success_keys: ClassVar[tuple[str, ...]] = ("columns", "query")
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        actual = {row["column_name"]: row["column_type"] for row in metrics["query.table"]}
        faults = [
            f"{name} {actual.get(name, 'missing')}"
            for name in sorted(self.columns.keys() | actual.keys())
            if self.columns.get(name) != actual.get(name)
        ]
        return _judged(len(actual), len(faults), faults[:5], ", ".join(faults) or None, None)


def _judged(
    evaluated_count: int,
    unexpected_count: int,
    example_ids: list[Any],
    observed_value: str | None,
    threshold: str | None,
) -> dict[str, Any]:
    """Return a verdict in the form GX stores; the data docs list `partial_unexpected_list`."""
    return {
        "success": unexpected_count == 0,
        "result": {
            "element_count": evaluated_count,
            "unexpected_count": unexpected_count,
            "unexpected_percent": 100 * unexpected_count / max(evaluated_count, 1),
            "observed_value": observed_value
            or f"{unexpected_count:,} of {evaluated_count:,} unexpected",
            "threshold": threshold,
            "partial_unexpected_list": [str(example) for example in example_ids],
        },
    }


def ephemeral_context(**data_docs_sites: dict[str, Any]) -> EphemeralDataContext:
    """Return a context that keeps nothing on disk, shows no progress and reports to nobody."""
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites=data_docs_sites,
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


@contextmanager
def opened(database: Path, attach: Mapping[str, Path]) -> Iterator[SQLDatasource]:
    """Yield a database to GX; afterwards this process holds no lock on any of the files."""
    registry.register(URL_SCHEME.replace("+", "."), __name__, GateDialect.__name__)
    context = ephemeral_context()
    # The paths go into `connect_args`: in the URL their `$`, `?` or blanks would be interpreted.
    files = {alias: str(path) for alias, path in attach.items()}
    datasource = context.data_sources.add_sql(
        "warehouse",
        connection_string=f"{URL_SCHEME}://",
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

    The values found are left out, as they may be personal; ids lead a person to the rows.

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
    return document | {"results": [by_id[id_] for id_ in ids]}
