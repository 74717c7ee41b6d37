"""The calendar of business days, and materialising some of them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import freeze_time
from support.shop import FIRST_DAY, LAST_DAY, LIVE_YML, make_shop, sales, write_csv

from dagster_project.config.source import load_source
from dagster_project.definitions import build_definitions
from dagster_project.defs.assets.common import TRANSACTIONS
from dagster_project.defs.assets.raw import business_days, raw_assets
from dagster_project.defs.jobs import request
from dagster_project.defs.resources import SourceRun
from dagster_project.loading.changes import changed_files
from dagster_project.paths import SourcePaths
from dagster_project.runs.planning import Plan

DAY = date(2024, 2, 14)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    return make_shop(tmp_path_factory.mktemp("shop") / "data")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def load_days(
    paths: SourcePaths, instance: dg.DagsterInstance, first: date, last: date
) -> dg.ExecuteInProcessResult:
    source = load_source(paths)
    transactions, *_ = raw_assets(source)
    run = SourceRun(source_name=source.name, data_dir=str(paths.data_dir))
    return dg.materialize(
        [transactions],
        instance=instance,
        resources={"source_run": run},
        tags=request(Plan(first, last, True, datetime.now(UTC)))["tags"],
    )


def rows(paths: SourcePaths) -> list[tuple]:
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        return connection.execute(
            "select transaction_id, ordered_on, amount, batch_id from raw.transactions order by 1"
        ).fetchall()


def test_the_calendar_of_a_finished_source_is_its_days(paths: SourcePaths) -> None:
    calendar = business_days(load_source(paths))
    assert calendar.get_first_partition_key() == str(FIRST_DAY)
    assert calendar.get_last_partition_key() == str(LAST_DAY)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        # 23:30 and 00:30 in Berlin: the day that has not ended in the shop is not there yet.
        ("2024-05-04T21:30:00+00:00", "2024-05-03"),
        ("2024-05-04T22:30:00+00:00", "2024-05-04"),
    ],
)
def test_the_calendar_of_a_live_source_ends_yesterday_in_its_zone(
    tmp_path: Path, now: str, last: str
) -> None:
    source = load_source(make_shop(tmp_path / "data", config=LIVE_YML))
    moment = datetime.fromisoformat(now)
    with freeze_time(moment):
        assert business_days(source).get_last_partition_key() == last
    assert str(source.last_complete_day(moment)) == last


def test_a_range_of_days_is_one_run(paths: SourcePaths) -> None:
    graph = build_definitions(load_source(paths), paths).resolve_asset_graph()
    assert graph.get(TRANSACTIONS).backfill_policy == dg.BackfillPolicy.single_run()


def test_a_changed_file_is_loaded_whole_whatever_day_was_asked_for(
    paths: SourcePaths, instance: dg.DagsterInstance
) -> None:
    calendar = business_days(load_source(paths))
    load_days(paths, instance, FIRST_DAY, LAST_DAY)
    before = rows(paths)
    assert len(before) == len(sales())
    assert instance.get_materialized_partitions(TRANSACTIONS) == set(calendar.get_partition_keys())

    # The file of the month now has other amounts on every day, but one day is asked for.
    month = [row for row in sales() if row["time"].startswith("2024-02")]
    assert {row["time"][:10] for row in month} > {str(DAY)}
    write_csv(paths.landing / "sales-2024-02.csv", [{**row, "amount": "1.00"} for row in month])
    result = load_days(paths, instance, DAY, DAY)
    assert [m.partition for m in result.asset_materializations_for_node("raw__transactions")] == [
        str(DAY)
    ]
    after = rows(paths)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert {str(row[1]) for row in changed} == {row["time"][:10] for row in month}
    assert {str(row[2]) for row in changed} == {"1.00"}
    assert len({row[3] for row in changed}) == 1
    with duckdb.connect(str(paths.warehouse)) as connection:
        assert changed_files(connection, load_source(paths), paths).transactions == []

    # Once more changes nothing.
    load_days(paths, instance, DAY, DAY)
    assert rows(paths) == after
