"""Past dates, over midnight, publishing them, rolling back, and runs that wait for each other."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.shop import (
    LIVE_YML,
    RUN_SECONDS,
    SHOP,
    Outcome,
    copy_data,
    make_shop,
    shop_paths,
    start_winback,
    winback,
)

from dagster_project.cli import run as cli_run
from dagster_project.config.source import load_source
from dagster_project.defs.assets import raw
from dagster_project.paths import SourcePaths
from dagster_project.release.state import current_release, list_releases
from dagster_project.runs import bookkeeping

RUN = ("run", "--source", SHOP)
PAST = date(2024, 2, 20)
# Ten seconds before midnight in Berlin of the day after; the day that is then over is PAST.
BEFORE_MIDNIGHT = datetime(2024, 2, 21, 22, 59, 50, tzinfo=UTC)
pytestmark = pytest.mark.timeout(900)


def rows(file: Path, table: str) -> list[tuple]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(f"select * from {table} order by all").fetchall()


@pytest.fixture(scope="module")
def past(published_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    """Return a shop that also has a release as of a past date, built while another run waits."""
    data_dir = copy_data(published_shop, tmp_path_factory.mktemp("past") / "data")
    paths = shop_paths(data_dir)
    with start_winback(*RUN, "--as-of", PAST, data_dir=data_dir) as process:
        here = winback(*RUN, "--as-of", PAST, data_dir=data_dir)
        _, there = process.communicate(timeout=RUN_SECONDS)
    outputs = [here.messages, there]
    assert [here.code, process.returncode] == [0, 0], outputs
    # Whichever came first built it; the other waited, said so and had nothing to build.
    messages = sorted(outputs, key=len)
    assert "Another run of shop is working; waiting for it to end." in messages[0]
    assert "Nothing new" in messages[0]
    assert "waiting" not in messages[1]
    assert "release/candidate" in messages[1]
    return paths


def clock(start: datetime) -> type[datetime]:
    """Return a `datetime` whose every look at the clock is a minute later than the last."""
    looks = iter(range(10**6))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return (start + timedelta(minutes=next(looks))).astimezone(tz)

    return Clock


@dataclass(frozen=True)
class OverMidnight:
    """A run of a live shop over midnight whose configuration was edited meanwhile."""

    paths: SourcePaths
    settings_as_started: str
    outcome: Outcome


@pytest.fixture(scope="module")
def over_midnight(tmp_path_factory: pytest.TempPathFactory) -> OverMidnight:
    data_dir = tmp_path_factory.mktemp("over_midnight") / "data"
    paths = make_shop(data_dir, until=PAST + timedelta(days=1), config=LIVE_YML)
    config = data_dir / "sources" / f"{SHOP}.yml"
    as_started = load_source(paths).settings_fingerprint()
    load = raw.load_table

    def edit_and_load(*arguments: Any, **options: Any) -> Any:
        config.write_text(LIVE_YML.replace("EUR", "USD").replace("restaurant", "dentist"))
        return load(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        # A minute passes between any two looks, so the second one sees the day after.
        passing = clock(BEFORE_MIDNIGHT)
        for module in (cli_run, bookkeeping, raw):
            patch.setattr(module, "datetime", passing)
        patch.setattr(raw, "load_table", edit_and_load)
        outcome = winback(*RUN, data_dir=data_dir)
    return OverMidnight(paths, as_started, outcome)


def test_over_midnight_and_an_edit_every_step_has_the_same_answers(
    over_midnight: OverMidnight,
) -> None:
    paths, outcome = over_midnight.paths, over_midnight.outcome
    assert outcome.code == 0, outcome.messages
    assert load_source(paths).settings_fingerprint() != over_midnight.settings_as_started

    manifest = json.loads((paths.current / "manifest.json").read_text())
    assert manifest["as_of_date"] == str(PAST)
    assert manifest["currency"] == "EUR"
    assert manifest["settings_fingerprint"] == over_midnight.settings_as_started
    # What the day that has begun brought already is no answer to how far the data reach.
    assert manifest["feed"] == {
        "transactions": {
            "last_day_with_data": str(PAST),
            "days_without_data": 0,
            "closed_days_without_data": 0,
        }
    }
    assert f"Data       transactions up to {PAST}\n" in outcome.output
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        connection.execute(f"attach '{paths.published_file}' as published (read_only)")
        dates = {
            "load": "select max(ordered_on) - 1 from raw.load_days",
            "limits": "select as_of_date from audit.limits",
            "today": "select today - 1 from audit.limits",
            "models": "select distinct last_purchase_on + cast(days_since_last_purchase as "
            "integer) from marts.customers where days_since_last_purchase is not null",
            "scores": "select distinct data_to from scores.score_versions",
            "release": "select as_of_date from published.releases",
        }
        found = {name: connection.execute(query).fetchall() for name, query in dates.items()}
        thresholds = connection.execute(
            "select distinct repeat_lost_days from published.churn_definitions where is_in_force"
        ).fetchall()
    assert found == {name: [(PAST,)] for name in dates}
    # A restaurant's, not a dentist's.
    assert thresholds == [(30,)]


def release_of(paths: SourcePaths, as_of: date) -> str:
    return next(r.release_id for r in list_releases(paths) if r.as_of == as_of)


def test_a_past_date_is_kept_but_not_current(past: SourcePaths, tmp_path: Path) -> None:
    assert current_release(past).as_of == date(2024, 3, 31)
    data_dir = copy_data(past.data_dir, tmp_path / "data")
    again = winback(*RUN, "--as-of", PAST, data_dir=data_dir)
    assert "kept, not current" in again.output
    made = winback(*RUN, "--as-of", PAST, "--make-current", data_dir=data_dir)
    assert made.code == 0, made.messages
    assert current_release(shop_paths(data_dir)).as_of == PAST
    # A plain run returns to the newest release, which is still there.
    plain = winback(*RUN, data_dir=data_dir)
    assert plain.code == 0, plain.messages
    assert "Nothing new" in plain.messages


def test_a_past_date_knows_nothing_of_what_came_later(
    past: SourcePaths, over_midnight: OverMidnight
) -> None:
    """The run over midnight had no file with a sale after the next day."""
    release, then = past.release_file(release_of(past, PAST)), over_midnight.paths
    for table in (
        "customers",
        "lifecycle_flow",
        "cohort_retention",
        "lost_customers_by_month",
        "spend_by_tenure",
        "spend_comparisons",
        "customer_powers",
        "driver_correlations",
        "winback_candidates",
    ):
        assert rows(release, table) == rows(then.published_file, table), table


def test_back_and_forth_between_releases(past: SourcePaths, tmp_path: Path) -> None:
    data_dir = copy_data(past.data_dir, tmp_path / "data")
    paths = shop_paths(data_dir)
    newest, older = (release_of(paths, day) for day in (date(2024, 3, 31), PAST))
    winback(*RUN, "--as-of", PAST, "--make-current", data_dir=data_dir)
    assert current_release(paths).release_id == older

    back = winback("rollback", "--source", SHOP, data_dir=data_dir)
    assert back.code in (0, 1), back.messages
    chosen = winback("rollback", newest, "--source", SHOP, data_dir=data_dir)
    assert chosen.code == 0, chosen.messages
    assert current_release(paths).release_id == newest
    assert rows(paths.published_file, "customers") == rows(paths.release_file(newest), "customers")
    listed = winback("releases", "--source", SHOP, data_dir=data_dir)
    assert [line.split()[0] for line in listed.output.splitlines() if "current" in line] == [newest]
    unknown = winback("rollback", "2020-01-01-nothing", "--source", SHOP, data_dir=data_dir)
    assert unknown.code == 2
    assert newest in unknown.messages and "Traceback" not in unknown.messages


def test_what_was_rolled_back_is_not_published_again_by_itself(
    past: SourcePaths, tmp_path: Path
) -> None:
    data_dir = copy_data(past.data_dir, tmp_path / "data")
    paths = shop_paths(data_dir)
    newest, older = (release_of(paths, day) for day in (date(2024, 3, 31), PAST))
    # The past one was published later, so leaving the newest for it is no rollback: leave the past.
    winback(*RUN, "--as-of", PAST, "--make-current", data_dir=data_dir)
    assert winback("rollback", newest, "--source", SHOP, data_dir=data_dir).code == 0
    unchanged = winback(*RUN, "--as-of", PAST, data_dir=data_dir)
    assert unchanged.code == 0
    assert "was rolled back from" in unchanged.messages
    assert current_release(paths).release_id == newest
    wanted = winback(*RUN, "--as-of", PAST, "--make-current", data_dir=data_dir)
    assert wanted.code == 0, wanted.messages
    assert current_release(paths).release_id == older
