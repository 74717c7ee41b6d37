"""Bad files and bad tables never reach a reader, who reads on all the time."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from support.shop import (
    SHOP,
    Outcome,
    add_sales,
    copy_data,
    make_shop,
    sales,
    shop_paths,
    winback,
)

from dagster_project.config.source import load_source
from dagster_project.defs.assets import release
from dagster_project.defs.assets.release import release_assets
from dagster_project.defs.resources import SourceRun
from dagster_project.files import file_hash
from dagster_project.gates import suites
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import candidate_file
from dagster_project.release.state import current_release

pytestmark = pytest.mark.timeout(900)
READ_EVERY_SECONDS = 0.05
LINES = 400
RUN = ("run", "--source", SHOP)


@dataclass(frozen=True)
class Scene:
    """What three runs, two of them blocked, left behind, and what a reader saw meanwhile."""

    paths: SourcePaths
    first_hash: str
    broken: Outcome
    hash_after_broken: str
    models_after_broken: tuple
    mended: Outcome
    mended_hash: str
    marts_of_mended: dict[str, list[tuple]]
    refreshed: Outcome
    reads: list[tuple[str | None, str | None]]


def read_on(file: Path, stop: Any, reads: Any) -> None:
    """Open the published file again and again, as an analyst would; note errors and releases."""
    # The runs shall be tested, not slowed down.
    os.nice(10)
    while not stop.is_set():
        try:
            with duckdb.connect(str(file), read_only=True, config={"threads": 1}) as connection:
                history, results, of_customers = (
                    connection.execute(query).fetchall()
                    for query in (
                        "select release_id from releases order by published_at desc",
                        "select distinct release_id from gate_results",
                        "select count(*) from customers union all "
                        "select one.row_count from (select unnest(row_counts) as one from releases "
                        "order by published_at desc) where one.table_name = 'customers'",
                    )
                )
            is_one_release = set(history) == set(results) and of_customers[0] == of_customers[1]
            reads.put((None if is_one_release else "a mixture", history[0][0]))
        except Exception as error:
            reads.put((repr(error), None))
        time.sleep(READ_EVERY_SECONDS)


def marts(paths: SourcePaths) -> dict[str, list[tuple]]:
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'marts'"
        ).fetchall()
        return {
            table: connection.execute(f"select * from marts.{table} order by all").fetchall()
            for (table,) in tables
        }


def published_rows(paths: SourcePaths) -> dict[str, list[tuple]]:
    """Return all rows of the published tables but for the history of releases."""
    with duckdb.connect(str(paths.published_file), read_only=True) as connection:
        tables = {table for (table,) in connection.execute("show tables").fetchall()}
        return {
            table: connection.execute(f"select * from {table} order by all").fetchall()
            for table in tables - {"releases", "gate_results"}
        }


def model_state(paths: SourcePaths) -> tuple:
    """Return what would differ had any model run."""
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        return (
            connection.execute(
                "select schema_name, table_name, table_oid from duckdb_tables() "
                "where schema_name in ('intermediate', 'marts') order by all"
            ).fetchall(),
            connection.execute(
                "select * from intermediate.int_customer_days order by all"
            ).fetchall(),
        )


@pytest.fixture(scope="module")
def scene(published_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    data_dir = copy_data(published_shop, tmp_path_factory.mktemp("scene") / "data")
    paths = shop_paths(data_dir)
    context = multiprocessing.get_context("spawn")
    stop, queue = context.Event(), context.Queue()
    reader = context.Process(target=read_on, args=(paths.published_file, stop, queue))
    reader.start()
    try:
        first_hash, models = file_hash(paths.published_file), model_state(paths)
        add_sales(paths, LINES, broken=LINES * 5 // 100)
        broken = winback(*RUN, data_dir=data_dir)
        after, models_after = file_hash(paths.published_file), model_state(paths)
        add_sales(paths, LINES, broken=LINES * 5 // 1000)
        mended = winback(*RUN, data_dir=data_dir)
        mended_hash, marts_of_mended = file_hash(paths.published_file), marts(paths)
        with tampered_candidates(paths):
            refreshed = winback(*RUN, "--full-refresh", data_dir=data_dir, WINBACK_DBT_THREADS="1")
    finally:
        stop.set()
        reads = []
        while reader.is_alive() or not queue.empty():
            while not queue.empty():
                reads.append(queue.get())
            reader.join(0.1)
    assert models == models_after
    yield Scene(
        paths,
        first_hash,
        broken,
        after,
        models_after,
        mended,
        mended_hash,
        marts_of_mended,
        refreshed,
        reads,
    )


@contextmanager
def tampered_candidates(paths: SourcePaths) -> Iterator[None]:
    """Leave out a customer of each candidate: a mistake of the models only the gate can see."""
    build = release.build_candidate

    def tampered(*arguments: Any, **options: Any) -> Any:
        folder = build(*arguments, **options)
        with duckdb.connect(str(candidate_file(paths))) as connection:
            connection.execute("delete from customers where customer_id = 'C001'")
        return folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "build_candidate", tampered)
        yield


def runs(paths: SourcePaths, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dg.DagsterRun, list]]:
    """Return the runs of the source's instance, oldest first, with their events."""
    monkeypatch.setenv("DAGSTER_HOME", str(paths.dagster_home))
    with dg.DagsterInstance.get() as instance:
        return [
            (
                run,
                [
                    e.get_dagster_event()
                    for e in instance.all_logs(run.run_id)
                    if e.is_dagster_event
                ],
            )
            for run in reversed(instance.get_runs())
        ]


def test_five_percent_broken_lines_block_and_say_why(scene: Scene) -> None:
    assert scene.broken.code == 3
    message = scene.broken.messages
    assert "rejected_share_within_limit" in message
    assert "5.00% of" in message and "sales-late.csv" in message
    # The first reasons with their lines: the header is line 1.
    for line in (2, 3, 4):
        assert f"line {line}: " in message
    assert "amount" in message
    assert "Traceback" not in message
    assert scene.hash_after_broken == scene.first_hash


def test_after_a_failing_raw_gate_no_model_ran(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, events = runs(scene.paths, monkeypatch)[1]
    assert blocked.status == dg.DagsterRunStatus.FAILURE
    started = {event.step_key for event in events if event.event_type_value == "STEP_START"}
    assert "raw_gate" in started
    after = {"models", "scores", "scored_models"}
    assert not started & {*after, "release__candidate", "release_gate", "release__current"}
    materialised = {
        event.asset_key.path[0]
        for event in events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    }
    assert materialised == {"raw"}
    # That nothing in the warehouse changed either, the fixture has seen.
    assert scene.models_after_broken[1]


def test_a_blocked_run_leaves_its_verdict_and_docs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, _ = runs(scene.paths, monkeypatch)[1]
    folder = scene.paths.blocked / blocked.run_id
    assert "rejected_share_within_limit" in (folder / "verdict.json").read_text()
    assert "sales-late.csv" in (folder / "data_docs" / "index.html").read_text()
    assert blocked.run_id in {entry.name for entry in scene.paths.blocked.iterdir()}


def test_half_a_percent_broken_is_published_and_kept_with_its_text(scene: Scene) -> None:
    assert scene.mended.code == 0, scene.mended.messages
    with duckdb.connect(str(scene.paths.warehouse), read_only=True) as connection:
        rejected = connection.execute(
            "select source_file, row_number, reason, original_text from raw.rejected_rows "
            "order by row_number"
        ).fetchall()
        loaded = connection.execute("select count(*) from raw.transactions").fetchone()
    assert [row[1] for row in rejected] == [2, 3]
    assert all(row[0].endswith("sales-late.csv") for row in rejected)
    assert all("twelve" in row[3] and "amount" in row[2] for row in rejected)
    assert loaded == (len(sales()) + LINES - 2,)


def test_readers_never_failed_and_never_saw_two_releases_at_once(scene: Scene) -> None:
    errors = [error for error, _ in scene.reads if error]
    assert errors == []
    seen = list(dict.fromkeys(release_id for _, release_id in scene.reads))
    # The first and then the mended one, never the blocked one.
    assert len(seen) == 2
    assert seen[-1] == current_release(scene.paths).release_id
    assert len(scene.reads) > 100


def test_a_full_refresh_on_one_thread_gives_what_incremental_runs_gave(scene: Scene) -> None:
    # That its release was spoilt and blocked came after the models.
    assert marts(scene.paths) == scene.marts_of_mended


def test_from_scratch_on_four_threads_gives_the_same_tables(scene: Scene, tmp_path: Path) -> None:
    paths = make_shop(tmp_path / "data")
    add_sales(paths, LINES, broken=LINES * 5 // 1000)
    outcome = winback(*RUN, data_dir=paths.data_dir, WINBACK_DBT_THREADS="4")
    assert outcome.code == 0, outcome.messages
    assert published_rows(paths) == published_rows(scene.paths)


def test_the_same_sales_under_another_name_and_order_block(shop: Path) -> None:
    """Not the bytes of a copy, nor a declared key, give it away."""
    paths = shop_paths(shop)
    before = file_hash(paths.published_file)
    file = shop / "sources" / f"{SHOP}.yml"
    file.write_text(file.read_text().replace("    key: transaction_id\n", ""))
    first = min(paths.landing.glob("sales-*.csv"))
    header, *rows = first.read_text().splitlines()
    (paths.landing / "sales-again.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    outcome = winback(*RUN, data_dir=shop)
    assert outcome.code == 3, outcome.messages
    assert "no_lines_delivered_twice" in outcome.messages
    assert f"{len(rows)} of {len(rows)} lines of {first.name} (100%)" in outcome.messages
    assert "stand again in sales-again.csv" in outcome.messages
    assert "`duplicates: keep_last`" in outcome.messages
    assert "Traceback" not in outcome.messages
    assert file_hash(paths.published_file) == before


def test_a_failing_release_gate_publishes_nothing_not_even_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, outcome = scene.paths, scene.refreshed
    assert outcome.code == 3, outcome.messages
    assert "release gate, customers: every_known_customer_present failed" in outcome.messages
    assert "Traceback" not in outcome.messages
    assert file_hash(paths.published_file) == scene.mended_hash
    blocked, events = runs(paths, monkeypatch)[-1]
    started = {event.step_key for event in events if event.event_type_value == "STEP_START"}
    assert "release_gate" in started
    assert "release__current" not in started
    verdict = json.loads((paths.blocked / blocked.run_id / "verdict.json").read_text())
    assert len(verdict) == len(suites.suite_tables("release"))

    # Materialising the switch alone, as a person may do in the UI.
    source = load_source(paths)
    _, current = release_assets(source)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [current],
            instance=instance,
            resources={"source_run": SourceRun(source_name=SHOP, data_dir=str(paths.data_dir))},
            raise_on_error=False,
        )
    assert not result.success
    error = result.failure_data_for_node("release__current").error
    while error.cause:
        error = error.cause
    assert error.cls_name == "GateBlockedError"
    assert file_hash(paths.published_file) == scene.mended_hash
