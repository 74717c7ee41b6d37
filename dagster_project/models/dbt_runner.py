"""dbt in this process: one call at a time, and nothing of it left afterwards.

A dbt of its own would take seconds to start, and a killed run would orphan it with DuckDB's write
lock in its hands. In return everything that dbt keeps in a process is given back after each call,
failed ones too: the warehouse, adapters, log files, the environment it reads its profile from.
"""

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dagster_project.errors import (
    TELLING_ERRORS,
    ConfigurationError,
    WinbackError,
    first_line,
    in_words,
    quoting_nothing,
)
from dagster_project.files import appearing_whole, write_text
from dagster_project.paths import DBT_DIR, SourcePaths, setting
from dagster_project.warehouse import engine_settings

# So many are named in a message.
SHOWN = 5
FAILED = ("error", "fail", "runtime error")
# By these names dbt keeps its loggers, whose files it leaves open.
DBT_LOGGERS = ("file_log", "stdout_log")
# A log of this size is put aside, and of those dbt keeps five.
LOG_BYTES = 1_000_000


def run_dbt(
    arguments: Sequence[str],
    *,
    target: Path,
    variables: Mapping[str, Any],
    environment: Mapping[str, str],
    parsed: Path | None = None,
    on_event: Callable[[Any], None] | None = None,
    console: str = "none",
) -> Any:
    """Run one dbt command over the project and return its result, as dbt types it.

    Args:
        arguments: The command and its own options, such as `["build", "--full-refresh"]`.
        target: Folder of dbt's artifacts and its `dbt.log`.
        variables: The project's variables.
        environment: What `profiles.yml` reads: the warehouse and the bounds of the engine.
        parsed: File of the parsed project. If it is there, dbt need not parse; if not, what dbt
            has parsed is kept there. Without one dbt parses as it likes.
        on_event: Is told every event of dbt, from several threads.
        console: From which level on dbt prints its events itself.

    Raises:
        WinbackError: dbt failed; the message names what did and holds no values of rows.
        KeyboardInterrupt: the run was interrupted; what dbt was building is rolled back.
    """
    from dbt.cli.main import dbtRunner

    manifest = None
    if parsed is not None and parsed.exists():
        manifest = _read_parsed(parsed)
    options = ["--project-dir", str(DBT_DIR), "--profiles-dir", str(DBT_DIR)]
    options += ["--target-path", str(target), "--log-path", str(target)]
    # At its own level dbt's log holds every statement, which is a tenth of dbt's work.
    options += ["--log-level", console, "--log-level-file", "info"]
    options += ["--log-file-max-bytes", str(LOG_BYTES)]
    options += ["--vars", json.dumps({**variables, "is_of_a_source": True})]
    with _given_back(), _environment(environment), _interruptible():
        runner = dbtRunner(manifest=manifest, callbacks=[on_event] if on_event else [])
        outcome = runner.invoke([*arguments, *options])
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise KeyboardInterrupt
    if not outcome.success:
        log = target / "dbt.log"
        _let_quote_nothing(log)
        raise WinbackError(f"dbt {arguments[0]}: {_failure(outcome)} Of all that failed, see {log}")
    if parsed is not None and manifest is None:
        _keep_parsed(target, parsed)
    return outcome.result


def engine_environment(paths: SourcePaths) -> dict[str, str]:
    """Return what `profiles.yml` reads to work on a source's warehouse.

    Raises:
        ConfigurationError: The number of threads is none.
    """
    settings = engine_settings(paths)
    return {
        "WINBACK_WAREHOUSE": str(paths.warehouse),
        "WINBACK_MEMORY_LIMIT": settings["memory_limit"],
        "WINBACK_SPILL": settings["temp_directory"],
        "WINBACK_DBT_THREADS": _threads(),
    }


def _threads() -> str:
    threads = setting("WINBACK_DBT_THREADS", "2")
    if not threads.isdecimal() or int(threads) < 1:
        raise ConfigurationError(
            f"WINBACK_DBT_THREADS is {threads!r}; write a number from 1 on, such as 2."
        )
    return threads


def _read_parsed(file: Path) -> Any:
    """Return the parsed project; dbt goes on from it as after parsing."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(file.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _keep_parsed(target: Path, parsed: Path) -> None:
    """Move what dbt has parsed out of its target folder, with the time at which it did."""
    # The folders may be on two disks, and another source's run may read or keep the file.
    with appearing_whole(parsed, is_shared=True) as temporary:
        shutil.move(target / "partial_parse.msgpack", temporary)


def _failure(outcome: Any) -> str:
    """Say which nodes failed, why and what to do, without values of rows."""
    if outcome.exception is not None:
        said = quoting_nothing(str(outcome.exception))
        return f"{first_line(said)}. The models cannot be read; install the program anew."
    failed = [one for one in outcome.result if str(one.status) in FAILED]
    # What the system says of one holds for all: a full disk fails many.
    for one in failed:
        words = in_words("IOException", one.message or "")
        if words:
            return f"{one.node.name} failed. {words}"
    told = [f"{one.node.name} {_why(one.status, one.message or '')}" for one in failed[:SHOWN]]
    more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return (
        f"{'; '.join(told)}{more}. Run again with --full-refresh, which computes every day anew; "
        "if it fails again, the fault is in the models or in data they do not expect."
    )


def _let_quote_nothing(log: Path) -> None:
    """Leave nothing in the log of a failed call that an error may have quoted from a row."""
    with suppress(OSError):
        write_text(log, quoting_nothing(log.read_text(encoding="utf-8", errors="replace")))


def _why(status: object, message: str) -> str:
    if str(status) == "fail":
        return f"failed ({message})"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = next((line for line in lines if TELLING_ERRORS.fullmatch(line)), None)
    kind = next((line.split(":")[0] for line in lines if " Error:" in line), "with an error")
    return f"failed: {telling or kind}"


@contextmanager
def _given_back() -> Iterator[None]:
    """Close and forget, at the end, all that dbt holds in this process."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters
    from dbt_common.events.event_manager_client import cleanup_event_logger

    folder = Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)
        # Its public closing forgets the connection and leaves the file locked.
        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
        DuckDBConnectionManager.close_all_connections()
        reset_adapters()
        cleanup_event_logger()
        for name in DBT_LOGGERS:
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let signals interrupt dbt: only on KeyboardInterrupt does it end what its threads build."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {
        number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
