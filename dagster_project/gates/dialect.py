"""What SQLAlchemy lacks so that Great Expectations can judge inside DuckDB: a dialect.

Written for the gates alone: it reads, and knows as much as the suites' SQL needs.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import duckdb
from sqlalchemy import Connection
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import NullType

from dagster_project.interruption import ended_by_signals

URL_SCHEME = "duckdb+gate"


class GateConnection:
    """A connection whose cursors are independent of it and of each other.

    GX gives a connection back before it fetches; with one shared cursor the rows would be gone.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connections = [connection]
        self._interruptible = ExitStack()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Hand out a new cursor: a connection of its own to the same files."""
        made = self._connections[0].cursor()
        self._connections.append(made)
        self._interruptible.enter_context(ended_by_signals(made))
        return made

    def commit(self) -> None:
        """Do nothing: nothing is ever written."""

    def rollback(self) -> None:
        """Do nothing: nothing is ever written."""

    def close(self) -> None:
        """Close the cursors too: one left open would keep the files locked."""
        self._interruptible.close()
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


def register() -> None:
    """Let SQLAlchemy find the dialect under `URL_SCHEME`."""
    registry.register(URL_SCHEME.replace("+", "."), __name__, GateDialect.__name__)
