"""Dagster's event log: quick enough for a first load and hundreds of checks; tells of a run's end.

Of a known fault it keeps the message alone, with which the page of a failed run then begins.

A first load stores two events a day, and Dagster opens, compiles and commits three times for each:
for a year and a half of days that takes longer than all the rest of the run. Every other event
would set up the database library anew, open its file and wait for the disk.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from dagster_project.errors import read
from dagster_project.notices.addresses import addresses
from dagster_project.paths import SourcePaths
from dagster_project.runs.faults import without_stack

# How long a write waits for another process's, the UI's for instance.
PATIENCE_SECONDS = 30
# So many files stay open: those of the run that works and the index, and a few that a page reads.
OPEN_FILES = 8
_IS_LATER = """select 1 from event_logs later where later.asset_key = event_logs.asset_key
    and later.dagster_event_type = 'ASSET_MATERIALIZATION'
    and later.partition is event_logs.partition and later.id > event_logs.id"""
_IS_LATER_CHECK = """select 1 from asset_check_executions later
    where later.asset_key = asset_check_executions.asset_key
    and later.check_name = asset_check_executions.check_name
    and later.partition is asset_check_executions.partition
    and later.id > asset_check_executions.id"""
# What a run and those before it have left in the index and nothing is read from any more.
FORGET_RUN = (
    f"""delete from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'
    and exists ({_IS_LATER} and later.run_id = :run_id)""",
    f"""delete from event_logs where run_id = :run_id
    and (dagster_event_type is not 'ASSET_MATERIALIZATION' or exists ({_IS_LATER}))""",
    f"""delete from asset_check_executions
    where exists ({_IS_LATER_CHECK} and later.run_id = :run_id)""",
    f"""delete from asset_check_executions where run_id = :run_id
    and exists ({_IS_LATER_CHECK})""",
    "delete from asset_event_tags where event_id not in (select id from event_logs)",
)
# The events that end a run, but for a person's own "Terminate".
ENDS = frozenset({DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE})


class EventLog(SqliteEventLogStorage):
    """Dagster's own event log in SQLite: one engine a file, and one connection a batch."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._held: dict[tuple[int, str], Connection] = {}
        self._engines: dict[str, Engine] = {}
        self._engines_lock = threading.Lock()
        self._has_index_columns: bool | None = None
        self._tables: set[str] = set()
        # `<data dir>/dagster/<source>/history/runs`, see `SourcePaths.dagster_home`.
        home = Path(base_dir).resolve().parents[1]
        self._paths = SourcePaths(home.parents[1], home.name)
        super().__init__(base_dir, inst_data)
        # Of the same thread a batch holds the file of its run and the index at once.
        self._db_lock = threading.RLock()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return no settings: the log lies where Dagster keeps it by default."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "EventLog":
        """Return the log of the instance in `DAGSTER_HOME`."""
        folder = Path(os.environ["DAGSTER_HOME"]) / "history" / "runs"
        return cls(str(folder), inst_data, **config_value)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event; tell a person if it ends a run, see `run_notices`."""
        super().store_event(without_stack(event))
        if (threading.get_ident(), event.run_id) not in self._held:
            self.tell(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run, all or none."""
        thread, run_id = threading.get_ident(), events[0].run_id
        with self._connect(run_id) as run, self._connect(INDEX_SHARD_NAME) as index:
            self._held = {(thread, run_id): run, (thread, INDEX_SHARD_NAME): index}
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._held = {}
        # Not before all is stored: telling may take seconds, and nobody else could write.
        for event in events:
            self.tell(event)

    def tell(self, event: EventLogEntry) -> None:
        """Tell of the run that an event ends; what went wrong with it is said in the run's log."""
        if event.dagster_event_type not in ENDS or not addresses():
            return
        # Not before it is needed: every process of Dagster has this module.
        from dagster_project.runs.run_notices import WITNESSES, tell_of_run

        stored = self.get_logs_for_run(event.run_id, of_type=set(WITNESSES))
        events = [entry.get_dagster_event() for entry in stored]
        for line in tell_of_run(self._paths, event.run_id, events):
            super().store_event(
                EventLogEntry(
                    error_info=None,
                    level=logging.WARNING,
                    user_message=line,
                    run_id=event.run_id,
                    timestamp=time.time(),
                    job_name=event.job_name,
                )
            )

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events, but for those that later pages and calendars are read from.

        Those are the last materialisation of each asset and day, without which Dagster takes the
        day for never loaded, and the last execution of each check. They go with the deletion of a
        later run that has newer ones, so that runs are to be deleted oldest first.
        """
        with self._connect(INDEX_SHARD_NAME) as index:
            for statement in FORGET_RUN:
                index.exec_driver_sql(statement, {"run_id": run_id})
        if self.supports_global_concurrency_limits:
            self.free_concurrency_slots_for_run(run_id)
        # The file comes last: it shows, after a kill, that something is still to be deleted.
        self.close(run_id)
        for ending in ("-wal", "-shm", "-journal", ""):
            Path(f"{self.path_for_shard(run_id)}{ending}").unlink(missing_ok=True)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        held = self._held.get((threading.get_ident(), shard))
        if held is not None:
            yield held
            return
        engine = self.engine_of(shard)
        with _in_words(), self._db_lock, engine.begin() as connection:
            yield connection

    def engine_of(self, shard: str) -> Engine:
        """Return the engine of a file, whose connection stays open."""
        if shard not in self._engines:
            with _in_words(), super()._connect(shard):
                pass  # Makes the file, if it is not there, the way Dagster does.
        with self._engines_lock:
            engine = self._engines.pop(shard, None)
            if engine is None:
                engine = create_engine(
                    self.conn_string_for_shard(shard), connect_args={"timeout": PATIENCE_SECONDS}
                )
                event.listen(engine, "connect", _trust_the_system)
            # What was used last stands last.
            self._engines[shard] = engine
            if len(self._engines) > OPEN_FILES:
                self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def close(self, shard: str) -> None:
        """Close a file, if it is open."""
        with self._engines_lock:
            engine = self._engines.pop(shard, None)
        if engine is not None:
            engine.dispose()

    def dispose(self) -> None:
        """Close all files."""
        super().dispose()
        for shard in list(self._engines):
            self.close(shard)

    def has_table(self, table_name: str) -> bool:
        """Return whether the index has a table; one that is there stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        if self._has_index_columns is None:
            self._has_index_columns = super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_index_columns


def _trust_the_system(connection: Any, _: Any) -> None:
    """Let the system bring commits to the disk: a killed process loses none of them.

    After a power failure the last events may be missing; the file is whole.
    """
    connection.execute("pragma synchronous = normal")


@contextmanager
def _in_words() -> Iterator[None]:
    """Let a fault of the log be told in words: Dagster prints it with the event and its values."""
    try:
        yield
    except DBAPIError as error:
        raise read(error) from error
