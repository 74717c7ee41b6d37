"""dbt in this process: what a call gives back, and that nothing of it reaches the next."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.factory import FACTORY
from dbt_common.events.event_manager_client import get_event_manager
from support.kept_shop import damage_block
from support.shop import SHOP_YML, make_shop

from dagster_project.config.source import load_source
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.models import dbt_project, dbt_runner
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import DamagedDatabaseError, connect, noticing_damage

MODELS = ("customer_rfm", "value_tier_versions")
# Another business: other money, tiers and zone, and silences that are stored.
DEFINITION = "{method: fixed, lost_days: 40, basis: both}"
OTHER_YML = (
    SHOP_YML.replace("industry: restaurant", f"churn_definition: {DEFINITION}")
    .replace("EUR", "USD")
    .replace("Europe/Berlin", "Asia/Shanghai")
    .replace(
        "margin_rate: 0.4", "margin_rate: 0.4\nvalue_tiers: {method: cutoff, high: 200, medium: 9}"
    )
)


def load(data_dir: Path, config: str) -> SourcePaths:
    paths = make_shop(data_dir, config=config)
    source = load_source(paths)
    with connect(paths) as connection:
        prepare_raw(connection)
        for table in source.tables:
            load_table(connection, source, paths, table, batch_id="1")
    return paths


def variables(paths: SourcePaths) -> dict[str, Any]:
    source = load_source(paths)
    return dbt_project.default_variables() | {
        "as_of_date": str(source.last_day),
        "first_day": str(source.first_day),
        **source.model_settings(),
    }


def build(paths: SourcePaths, *selected: str) -> None:
    given = variables(paths)
    dbt_project.manifest_path()
    dbt_runner.run_dbt(
        ["build", "--exclude-resource-type", "test", "unit_test", "--select", *selected],
        target=paths.warehouse_dir / "dbt",
        variables=given,
        environment=dbt_runner.engine_environment(paths),
        parsed=dbt_project.parsed_project(given),
    )


def rows(paths: SourcePaths) -> dict[str, list[tuple]]:
    """Return the built tables as another process reads them, which needs the file at once."""
    program = (
        "import duckdb, sys\n"
        "with duckdb.connect(sys.argv[1]) as connection:\n"
        "    for table in sys.argv[2:]:\n"
        "        print(connection.execute(f'from marts.{table} order by all').fetchall())\n"
    )
    read = subprocess.run(
        [sys.executable, "-c", program, str(paths.warehouse), *MODELS],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(MODELS, read.stdout.splitlines(), strict=True))


def assert_nothing_is_left(environment: dict[str, str], folder: Path) -> None:
    assert dict(os.environ) == environment
    assert Path.cwd() == folder
    assert FACTORY.adapters == {}
    assert get_event_manager().loggers == []
    assert get_event_manager().callbacks == []
    assert [logging.getLogger(name).handlers for name in dbt_runner.DBT_LOGGERS] == [[], []]
    # The folder that lists open files is open itself while it is listed, and then gone.
    held = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert not [file for file in held if file.name in ("dbt.log", "warehouse.duckdb")]


def test_two_sources_one_after_the_other_know_nothing_of_each_other(tmp_path: Path) -> None:
    environment, folder = dict(os.environ), Path.cwd()
    first = load(tmp_path / "first", SHOP_YML)
    other = load(tmp_path / "other", OTHER_YML)
    again = load(tmp_path / "again", SHOP_YML)
    selected = ("+int_silences", *(f"+{model}" for model in MODELS))
    build(first, *selected)
    assert_nothing_is_left(environment, folder)
    build(other, *selected)
    assert_nothing_is_left(environment, folder)
    build(again, *selected)
    found = [rows(paths) for paths in (first, other, again)]
    # After the other business the first one's builds to the same rows as before it.
    assert found[0] == found[2]
    assert [("EUR" in one["customer_rfm"], "USD" in one["customer_rfm"]) for one in found] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert ["cutoff" in one["value_tier_versions"] for one in found] == [False, True, False]
    assert [silences(paths) for paths in (first, other, again)] == ["VIEW", "BASE TABLE", "VIEW"]
    for paths in (first, other, again):
        log = (paths.warehouse_dir / "dbt" / "dbt.log").read_text()
        assert "marts.customer_rfm" in log


def silences(paths: SourcePaths) -> str:
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        return connection.execute(
            "select table_type from information_schema.tables where table_name = 'int_silences'"
        ).fetchone()[0]


def test_a_failed_call_says_what_failed_and_gives_everything_back(tmp_path: Path) -> None:
    environment, folder = dict(os.environ), Path.cwd()
    paths = load(tmp_path / "data", SHOP_YML)
    with connect(paths) as connection:
        connection.execute("drop table raw.consents")
    with pytest.raises(WinbackError) as raised:
        build(paths, "stg_consents")
    message = str(raised.value)
    assert message.startswith(
        "dbt build: stg_consents failed: Catalog Error: Table with name consents"
    )
    assert message.endswith(f"see {paths.warehouse_dir / 'dbt' / 'dbt.log'}")
    assert_nothing_is_left(environment, folder)
    with duckdb.connect(str(paths.warehouse)) as connection:
        assert connection.execute("select count(*) from raw.transactions").fetchone() == (349,)
        connection.execute("checkpoint")
    # Of a damaged warehouse the message says enough for the next run to look closer.
    damage_block(paths.warehouse, "select bit_xor(hash(one)) from raw.transactions as one")
    with (
        pytest.raises(DamagedDatabaseError, match="Run again"),
        noticing_damage(paths),
    ):
        build(paths, "+int_customer_days")
    assert paths.doubt.exists()
    assert_nothing_is_left(environment, folder)


def test_no_value_of_a_row_is_in_the_message_of_a_failure(tmp_path: Path) -> None:
    class Node:
        name = "customers"

    class Result:
        node, status = Node, "error"
        message = (
            "Runtime Error in model customers (models/marts/customers.sql)\n"
            "  Conversion Error: Could not convert string 'jane@example.org' to INT32"
        )

    class Outcome:
        exception, result = None, [Result]

    assert dbt_runner._failure(Outcome).startswith("customers failed: Conversion Error. Run again")
    Result.message = (
        "Runtime Error in model customers (models/marts/customers.sql)\n"
        '  IO Error: Could not write file "/data/warehouse.duckdb": No space left on device'
    )
    assert dbt_runner._failure(Outcome).startswith(
        "customers failed. The disk is full: /data/warehouse.duckdb could not be written."
    )
    log = tmp_path / "dbt.log"
    log.write_text("12:00 Conversion Error: Could not convert string 'jane@example.org' to INT32\n")
    dbt_runner._let_quote_nothing(log)
    assert log.read_text() == "12:00 Conversion Error: Could not convert string … to INT32"


def test_an_interrupted_call_ends_what_it_was_building(
    tmp_path: Path, endless: Callable[[Path], Path]
) -> None:
    environment, folder = dict(os.environ), Path.cwd()
    project = endless(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dbt_runner, "DBT_DIR", project)
            with pytest.raises(KeyboardInterrupt):
                dbt_runner.run_dbt(
                    ["run"],
                    target=tmp_path / "target",
                    variables={},
                    environment={"WINBACK_WAREHOUSE": str(tmp_path / "warehouse.duckdb")},
                )
    finally:
        timer.cancel()
    assert time.monotonic() - started < 60
    assert signal.getsignal(signal.SIGINT) is handler
    assert_nothing_is_left(environment, folder)


@pytest.fixture
def endless() -> Callable[[Path], Path]:
    """Return what makes a project with a model that would take hours."""

    def make(folder: Path) -> Path:
        project = folder / "project"
        (project / "models").mkdir(parents=True)
        (project / "dbt_project.yml").write_text(
            "{name: endless, profile: winback, models: {endless: {+materialized: table}}}"
        )
        profile = (dbt_project.DBT_DIR / "profiles.yml").read_text()
        (project / "profiles.yml").write_text(profile)
        (project / "models" / "endless.sql").write_text(
            "select count(*) as pair_count from range(10000000) as a, range(10000000) as b "
            "where hash(a.range + b.range) = 1"
        )
        return project

    return make


@pytest.mark.parametrize("threads", ["0", "two", "-1"])
def test_a_number_of_threads_that_is_none_is_told(
    threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINBACK_DBT_THREADS", threads)
    with pytest.raises(ConfigurationError, match=f"WINBACK_DBT_THREADS is '{threads}'; write"):
        dbt_runner.engine_environment(SourcePaths(tmp_path, "shop"))
