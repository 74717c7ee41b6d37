"""How a feed stands against its own pattern: the one measure of gates, notices and freshness."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.raw_shop import HEADER, lines, open_shop

from dagster_project.loading.feed import (
    BY_CUSTOMER,
    Silence,
    Volume,
    read_feed,
    silence_after,
    volume_of,
)
from dagster_project.paths import PROJECT_DIR

# A Sunday.
LAST = date(2024, 3, 31)
SATURDAY, SUNDAY = 5, 6


def back(*days: int) -> list[date]:
    """Return days by how long before the last they are."""
    return [LAST - timedelta(days=day) for day in days]


def daily(count: int = 90, *, without: Iterable[int] = ()) -> list[date]:
    """Return the last days but those that fall on the given weekdays."""
    return [day for day in back(*range(count)) if day.weekday() not in without]


def after(last: date, days: int) -> date:
    return last + timedelta(days=days)


@pytest.mark.parametrize(
    ("with_data", "limit"),
    [
        (back(0, 1, 2, 3), 7),  # daily
        (back(0, 3, 6), 7),  # two silent days, thrice: six
        (back(0, 4, 8), 9),  # three silent days
        (back(0, 7, 14), 18),  # weekly
        (back(0, 30, 60), 87),  # monthly
        (back(0, 90, 180), 165),  # quarterly: no other day is within 56
        (back(0, 1, 56, 100), 162),  # 54 silent days within 56, whatever is before them
        (back(0, *range(28, 90)), 81),
        (back(*range(40), *range(60, 90)), 48),  # of the 20 silent days 16 are within 56
        (back(0), 7),
    ],
)
def test_the_limit_is_that_of_the_sources_own_pattern(with_data: list[date], limit: int) -> None:
    for days, is_late in ((limit - 1, False), (limit, True)):
        silence = silence_after(with_data, after(LAST, days))
        assert (silence.last_day, silence.days, silence.limit) == (LAST, days, limit)
        assert silence.is_late == is_late
        assert not (silence.is_usual and is_late)


def test_a_declared_limit_is_the_limit() -> None:
    for limit in (1, 3, 30):
        for days in (limit - 1, limit):
            silence = silence_after(back(0), after(LAST, days), declared_limit=limit)
            assert (silence.limit, silence.is_late) == (limit, days == limit)
            assert silence.is_sure


@pytest.mark.parametrize(("loaded", "is_sure"), [(1, False), (27, False), (28, True)])
def test_of_fewer_than_28_days_no_pattern_is_sure(loaded: int, is_sure: bool) -> None:
    assert silence_after(daily(loaded), after(LAST, 9)).is_sure == is_sure
    # Loaded is what lies between the first day and the last.
    assert silence_after(back(0, loaded - 1), after(LAST, 200)).is_sure == is_sure


def test_a_finished_source_is_never_late() -> None:
    silence = silence_after(daily(), after(LAST, 400), is_live=False)
    assert silence == Silence(after(LAST, 400), LAST, 400)
    assert (silence.is_late, silence.is_usual) == (False, True)


def test_days_after_the_as_of_date_do_not_count() -> None:
    silence = silence_after([*back(0, 9), after(LAST, 5)], LAST - timedelta(days=1))
    assert (silence.last_day, silence.days) == (*back(9), 8)


def test_a_daily_feed_is_unusual_from_the_first_day_on() -> None:
    assert silence_after(daily(), LAST).is_usual
    assert silence_after(daily(), after(LAST, 1)).unusual_days == (after(LAST, 1),)


def test_a_weekday_that_is_always_silent_is_usual() -> None:
    saturday = LAST - timedelta(days=1)
    with_data = daily(without=[SUNDAY])
    assert max(with_data) == saturday
    assert silence_after(with_data, LAST).is_usual
    # The Monday is the first unusual day.
    assert silence_after(with_data, after(LAST, 1)).unusual_days == (after(LAST, 1),)
    days = silence_after(with_data, after(saturday, 9)).unusual_days
    assert [(day - LAST).days for day in days] == [1, 2, 3, 4, 5, 6, 7, 8]
    # Of fewer days the weekday alone is known.
    assert silence_after(with_data[:20], after(saturday, 6)).unusual_days == tuple(
        after(LAST, number) for number in range(1, 6)
    )


@pytest.mark.parametrize(("missing", "is_usual"), [(2, False), (3, True)])
def test_a_weekday_has_data_if_it_had_some_in_three_of_four_weeks(
    missing: int, is_usual: bool
) -> None:
    sundays = [LAST - timedelta(days=7 * number) for number in range(missing + 1)]
    with_data = [day for day in daily() if day not in sundays]
    assert silence_after(with_data, LAST).is_usual == is_usual


def test_without_a_pattern_of_weekdays_the_longest_silence_counts() -> None:
    # Every third day.
    with_data = back(*range(0, 90, 3))
    assert silence_after(with_data, after(LAST, 2)).is_usual
    assert silence_after(with_data, after(LAST, 3)).unusual_days == (after(LAST, 3),)


def test_closed_days_do_not_count() -> None:
    holidays = {after(LAST, number) for number in range(1, 10)}
    closed = {"closed": holidays}
    silence = silence_after(daily(), after(LAST, 9), **closed)
    assert (silence.days, silence.closed_days, silence.open_days) == (9, 9, 0)
    assert silence.is_usual
    assert silence_after(daily(), after(LAST, 10), **closed).unusual_days == (after(LAST, 10),)
    assert not silence_after(daily(), after(LAST, 15), **closed).is_late
    assert silence_after(daily(), after(LAST, 16), **closed).is_late
    # Afterwards they are no part of the pattern.
    later = [*daily(), *(after(LAST, number) for number in range(10, 20))]
    assert silence_after(later, after(LAST, 20), **closed).limit == 7
    assert silence_after(later, after(LAST, 20)).limit == 27
    # A closed day on which something was sold has data like any other.
    assert silence_after([*daily(), after(LAST, 5)], after(LAST, 5), **closed).days == 0


def test_volume_is_compared_with_that_of_the_weekdays() -> None:
    # Saturdays bring ten times as much.
    usual = {day: 400 if day.weekday() == SATURDAY else 40 for day in daily()}
    assert volume_of(usual) == Volume(40, 40, 640, 640)
    saturday = LAST - timedelta(days=1)
    until_saturday = {day: count for day, count in usual.items() if day <= saturday}
    assert volume_of(until_saturday | {saturday: 40}) == Volume(40, 400, 280, 640)
    # A finished source has no usual, a young one none yet.
    assert volume_of(usual, is_live=False) == Volume(40, None, 640, None)
    assert volume_of(dict.fromkeys(daily(35), 40)) == Volume(40, None, 280, None)
    assert volume_of(dict.fromkeys(daily(36), 40)) == Volume(40, 40, 280, 280)
    # Of less than ten lines nothing is told.
    assert volume_of(dict.fromkeys(daily(), 9)) == Volume(9, None, 63, 63)


def test_a_lone_day_after_a_silence_is_no_usual_week() -> None:
    lines_of = dict.fromkeys(back(0, *range(7, 90)), 40)
    assert volume_of(lines_of) == Volume(40, 40, 40, 280)
    closed = back(*range(1, 7))
    assert volume_of(lines_of, closed=closed) == Volume(40, 40, 40, 40)
    assert volume_of(lines_of, closed=back(0)) == Volume(40, None, 40, 280)


def test_it_is_read_from_the_lines_that_count(tmp_path: Path) -> None:
    with open_shop(tmp_path, kind="live") as shop:
        assert read_feed(shop.connection, shop.source, date(2024, 1, 20)) is None
        shop.put("a.csv", lines("1,2024-01-02,5", "1,2024-01-03,5", "1,2024-01-04,5"))
        shop.load()
        shop.connection.execute(
            "update raw.load_days set used_row_count = 0 where ordered_on = '2024-01-04'"
        )
        silence = read_feed(shop.connection, shop.source, date(2024, 1, 20)).silence
        assert (silence.last_day, silence.days, silence.limit) == (date(2024, 1, 3), 17, 7)
        assert read_feed(shop.connection, shop.source, date(2024, 1, 1)) is None


def test_an_empty_file_is_announced_and_told_apart_from_none(tmp_path: Path) -> None:
    def words() -> str:
        return read_feed(shop.connection, shop.source, date(2024, 1, 5)).silence.words

    last = "transactions: last data 2024-01-03; 2 days without any up to 2024-01-05; "
    with open_shop(tmp_path, kind="live") as shop:
        shop.put("day-01.csv", HEADER)
        shop.put("day-03.csv", lines("1,2024-01-03,5"))
        assert shop.load().warnings == ["day-01.csv holds no line of data, only its header."]
        # Both came at once; by its name the empty one was before.
        assert words() == last + "no file came after the one with that day"
        shop.put("day-04.csv", "")
        assert shop.load().warnings == ["day-04.csv holds no line of data, not even a header."]
        assert words() == (
            last + "1 file came after the one with that day, 1 of them without a line"
        )
        # Only what is new is announced, but it is not forgotten, however often files are read.
        assert shop.load(full_refresh=True).warnings != []
        assert shop.load().warnings == []
        shop.put("corrected-02.csv", lines("1,2024-01-02,5"))
        shop.put("day-05.csv", HEADER)
        shop.load()
        assert words() == (
            last + "3 files came after the one with that day, 2 of them without a line"
        )
        shop.put("day-05.csv", lines("1,2024-01-05,5"))
        shop.load()
        assert words() == "transactions: data up to 2024-01-05, the as-of date"


def test_the_interactions_that_count_are_those_of_the_models() -> None:
    """`stg_interactions` says the same in dbt, which loading must not read."""
    model = (PROJECT_DIR / "dbt/models/staging/stg_interactions.sql").read_text()
    (condition,) = re.findall(
        r"not what the firm did to them\.\n(.+?) as is_by_customer", model, re.S
    )
    assert condition.split() == BY_CUSTOMER.split()
