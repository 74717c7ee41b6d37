"""Past dates, publishing them, rolling back, and runs that wait for each other."""

from datetime import date
from pathlib import Path

import duckdb
import pytest
from support.shop import RUN_SECONDS, SHOP, copy_data, make_shop, shop_paths, start_winback, winback

from dagster_project.paths import SourcePaths
from dagster_project.release.state import current_release, list_releases

RUN = ("run", "--source", SHOP)
PAST = date(2024, 2, 20)
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


def release_of(paths: SourcePaths, as_of: date) -> str:
    return next(r.release_id for r in list_releases(paths) if r.as_of == as_of)


def test_a_past_date_is_kept_but_not_current(past: SourcePaths, tmp_path: Path) -> None:
    assert current_release(past).as_of == date(2024, 3, 31)
    data_dir = copy_data(past.data_dir, tmp_path / "data")
    again = winback(*RUN, "--as-of", PAST, data_dir=data_dir)
    assert "kept, not current" in again.output
    made = winback(*RUN, "--as-of", PAST, "--publish", data_dir=data_dir)
    assert made.code == 0, made.messages
    assert current_release(shop_paths(data_dir)).as_of == PAST
    # A plain run returns to the newest release, which is still there.
    plain = winback(*RUN, data_dir=data_dir)
    assert plain.code == 0, plain.messages
    assert "Nothing new" in plain.messages


def test_a_past_date_knows_nothing_of_what_came_later(past: SourcePaths, tmp_path: Path) -> None:
    then = make_shop(tmp_path / "data", until=PAST)
    outcome = winback(*RUN, "--as-of", PAST, data_dir=then.data_dir)
    assert outcome.code == 0, outcome.messages
    release = past.release_file(release_of(past, PAST))
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
    winback(*RUN, "--as-of", PAST, "--publish", data_dir=data_dir)
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
    winback(*RUN, "--as-of", PAST, "--publish", data_dir=data_dir)
    assert winback("rollback", newest, "--source", SHOP, data_dir=data_dir).code == 0
    unchanged = winback(*RUN, "--as-of", PAST, data_dir=data_dir)
    assert unchanged.code == 0
    assert "was rolled back from" in unchanged.messages
    assert current_release(paths).release_id == newest
    wanted = winback(*RUN, "--as-of", PAST, "--publish", data_dir=data_dir)
    assert wanted.code == 0, wanted.messages
    assert current_release(paths).release_id == older
