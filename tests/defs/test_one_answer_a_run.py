"""A run asks once what day it is: as it was when the run was requested."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import create_run_for_test
from support.shop import LIVE_YML, SHOP, make_shop

from dagster_project.config.source import load_source
from dagster_project.defs.assets.common import GivenRun
from dagster_project.defs.assets.raw import raw_assets
from dagster_project.defs.jobs import request, run_config
from dagster_project.defs.resources import SourceRun
from dagster_project.runs.bookkeeping import BACKFILL, REQUESTED_AT, requested_at
from dagster_project.runs.planning import Plan

# Ten seconds before midnight in Berlin; the day that is then over is the 19th.
BEFORE_MIDNIGHT = datetime(2024, 3, 20, 22, 59, 50, tzinfo=UTC)
AS_OF = date(2024, 3, 19)


@pytest.mark.parametrize(
    ("config", "as_of"),
    [({}, "2024-03-19"), ({"as_of": "2024-02-10"}, "2024-02-10")],
)
def test_a_run_that_waited_over_midnight_means_the_day_it_was_asked_for(
    tmp_path: Path, config: dict[str, str], as_of: str
) -> None:
    paths = make_shop(tmp_path / "data", until=date(2024, 3, 20), config=LIVE_YML)
    seen = []

    @dg.asset
    def step(source_run: GivenRun) -> None:
        seen.append(source_run)

    definition = SourceRun.configure_at_launch(source_name=SHOP, data_dir=str(paths.data_dir))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [step],
            instance=instance,
            resources={"source_run": definition},
            run_config=run_config(**config),
            tags={REQUESTED_AT: BEFORE_MIDNIGHT.isoformat()},
        )
    assert result.success
    (run,) = seen
    assert (str(run.as_of), run.today) == (as_of, date(2024, 3, 20))


def test_a_request_carries_its_dates() -> None:
    plan = Plan(date(2024, 3, 1), AS_OF, has_changes=True, requested_at=BEFORE_MIDNIGHT)
    asked = request(plan)
    assert asked["run_config"]["resources"]["source_run"]["config"] == {"as_of": "2024-03-19"}
    assert asked["tags"] == {
        "dagster/asset_partition_range_start": "2024-03-01",
        "dagster/asset_partition_range_end": "2024-03-19",
        REQUESTED_AT: "2024-03-20T22:59:50+00:00",
    }
    past = request(plan, date(2024, 2, 1), make_current=True)
    assert past["run_config"]["resources"]["source_run"]["config"] == {
        "as_of": "2024-02-01",
        "make_current": True,
    }


def test_the_day_that_has_begun_is_loaded_with_its_file(tmp_path: Path) -> None:
    """A sale of the day that has begun is loaded too, and judged, though it is in no partition."""
    paths = make_shop(tmp_path / "data", until=date(2024, 3, 20), config=LIVE_YML)
    transactions, *_ = raw_assets(load_source(paths))

    def load(first: date, last: date) -> set[date]:
        plan = Plan(first, last, has_changes=True, requested_at=BEFORE_MIDNIGHT)
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [transactions],
                instance=instance,
                resources={"source_run": SourceRun(source_name=SHOP, data_dir=str(paths.data_dir))},
                tags=request(plan)["tags"],
            )
        assert result.success
        with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
            return {
                day
                for (day,) in connection.execute("select ordered_on from raw.load_days").fetchall()
            }

    assert max(load(date(2024, 3, 1), AS_OF)) == date(2024, 3, 20)


@pytest.fixture
def book() -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_without_a_word_a_run_was_asked_for_when_it_was_made(book: dg.DagsterInstance) -> None:
    before = datetime.now(UTC)
    made = create_run_for_test(book, job_name="daily")
    assert before <= requested_at(made, book) <= datetime.now(UTC)


def test_the_runs_of_a_backfill_were_asked_for_with_it(
    book: dg.DagsterInstance, make_backfill: Callable[[dg.DagsterInstance, float], str]
) -> None:
    backfill = make_backfill(book, BEFORE_MIDNIGHT.timestamp())
    made = create_run_for_test(book, job_name="daily", tags={BACKFILL: backfill})
    assert requested_at(made, book) == BEFORE_MIDNIGHT


@pytest.fixture
def make_backfill() -> Callable[[dg.DagsterInstance, float], str]:
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    def make(book: dg.DagsterInstance, moment: float) -> str:
        backfill = PartitionBackfill(
            backfill_id="asked",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=moment,
        )
        book.add_backfill(backfill)
        return backfill.backfill_id

    return make
