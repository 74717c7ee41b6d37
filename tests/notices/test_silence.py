"""When a feed is late, by its own pattern."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from support.raw_shop import Shop, lines

from dagster_project.notices.silence import Silence, read_silence, silence_after
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

LAST = date(2024, 3, 31)


def back(*days: int) -> list[date]:
    """Return days by how long before the last they are."""
    return [LAST - timedelta(days=day) for day in days]


@pytest.mark.parametrize(
    ("with_data", "limit"),
    [
        (back(0, 1, 2, 3), 7),  # daily
        (back(0, 3, 6), 7),  # two silent days, thrice: six
        (back(0, 4, 8), 9),  # three silent days
        (back(0, 7, 14), 18),  # weekly
        (back(0, 1, 55, 100), 159),  # 53 silent days within 56
        (back(0, 1, 56, 100), 7),  # the silence before the 56 days does not count
        (back(0), 7),
    ],
)
def test_the_limit_is_that_of_the_sources_own_pattern(with_data: list[date], limit: int) -> None:
    after = LAST + timedelta(days=limit)
    assert silence_after(with_data, after) == Silence(LAST, limit, limit)
    assert not silence_after(with_data, after).is_late
    assert silence_after(with_data, after + timedelta(days=1)).is_late


def test_a_day_that_is_not_over_does_not_count() -> None:
    assert silence_after(back(0, 9), LAST - timedelta(days=1)) == Silence(*back(9), 8, 7)
    assert silence_after([], LAST) is None


def test_it_is_read_from_raw_for_live_sources_only(tmp_path: Path) -> None:
    with connect(SourcePaths(tmp_path, "shop")) as connection:
        shop = Shop(tmp_path, connection)
        shop.put("a.csv", lines("1,2024-01-02,5", "1,2024-01-03,5"))
        shop.load()
    finished = shop.source
    live = finished.model_copy(update={"kind": "live", "last_day": None})
    assert read_silence(shop.paths, finished, date(2024, 1, 20)) is None
    assert read_silence(shop.paths, live, date(2024, 1, 20)) == Silence(date(2024, 1, 3), 17, 7)
