"""A dead, dropped, closed or empty feed at the raw gate: warned of, blocked or accepted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.gate_shop import gate_shop, judged
from support.raw_shop import HEADER, Shop, lines

from dagster_project.gates.outcomes import Outcome, blocked_message

FIRST = date(2024, 1, 1)
SATURDAY, SUNDAY = 5, 6
JUDGED_HERE = {
    "silence_within_limit",
    "no_unusual_silence",
    "volume_not_dropped",
    "no_empty_delivery",
}


@contextmanager
def live_shop(
    folder: Path,
    last: date,
    *,
    per_day: Callable[[date], int] = lambda day: 12,
    first: date = FIRST,
    kind: str = "live",
    **parts: str,
) -> Iterator[Shop]:
    """Yield a shop with one file of all days up to the last."""
    with gate_shop(folder, kind=kind, **parts) as shop:
        shop.put("history.csv", sales(*days(first, last), per_day=per_day))
        shop.load()
        yield shop


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def sales(*on: date, per_day: Callable[[date], int] = lambda day: 12) -> str:
    return lines(*(f"c{number},{day},5" for day in on for number in range(per_day(day))))


def failing(shop: Shop, as_of: date, table: str = "load_days") -> dict[str, Outcome]:
    """Return what of these expectations fails as of a day."""
    outcomes = judged(shop, table, as_of)
    return {
        name: one for name, one in outcomes.items() if name in JUDGED_HERE and not one.is_passed
    }


def test_ten_days_without_files_are_warned_of_and_then_block(tmp_path: Path) -> None:
    last = date(2024, 3, 5)
    with live_shop(tmp_path, last) as shop:
        assert failing(shop, last) == {}
        first = failing(shop, last + timedelta(days=1))
        assert list(first) == ["no_unusual_silence"]
        warning = first["no_unusual_silence"]
        assert not warning.is_blocking
        assert warning.observed_value == (
            "transactions: last data 2024-03-05; 1 day without any up to 2024-03-06; "
            "no file came after the one with that day"
        )
        assert warning.example_ids == ("2024-03-06",)
        sixth = failing(shop, last + timedelta(days=6))
        assert [name for name, one in sixth.items() if one.is_blocking] == []
        seventh = failing(shop, last + timedelta(days=7))
        assert [name for name, one in seventh.items() if one.is_blocking] == [
            "silence_within_limit"
        ]
        tenth = failing(shop, last + timedelta(days=10))["silence_within_limit"]
    assert blocked_message([tenth]).splitlines() == [
        "raw gate, load_days: silence_within_limit failed",
        "  expected:   No table of a live source that says who is leaving (transactions; "
        "interactions where the churn definition counts them) has been without data for too long "
        "up to the as-of date, or every customer would seem to be leaving.",
        "  observed:   transactions: last data 2024-03-05; 10 days without any up to 2024-03-15; "
        "no file came after the one with that day",
        "  threshold:  transactions: fewer than 7 days without data, closed days left out",
        "  unexpected: 10 of 10, for example 2024-03-06, 2024-03-07, 2024-03-08, 2024-03-09, "
        "2024-03-10",
        "  remedy:     Look whether the files of the silent table still arrive and are complete; "
        "if the business was closed, add the days to `closed_days` in the source's YAML; if so "
        "long a silence is usual, set `maximum_silent_days` in its limits.",
    ]


def test_a_young_feed_is_only_warned_of_and_a_finished_one_not_at_all(tmp_path: Path) -> None:
    last = date(2024, 1, 27)
    as_of = last + timedelta(days=10)
    with live_shop(tmp_path / "young", last) as shop:
        young = failing(shop, as_of)
        assert list(young) == ["no_unusual_silence"]
        assert judged(shop, "load_days", as_of)["silence_within_limit"].threshold == (
            "transactions: fewer than 7 days without data; only a warning while fewer than 28 days "
            "are loaded"
        )
    with live_shop(tmp_path / "finished", date(2024, 3, 5), kind="finished") as shop:
        assert failing(shop, date(2024, 12, 31)) == {}


def test_a_shop_closed_on_sundays_is_accepted(tmp_path: Path) -> None:
    saturday = date(2024, 3, 9)
    with live_shop(
        tmp_path, saturday, per_day=lambda day: 0 if day.weekday() == SUNDAY else 12
    ) as shop:
        sunday = saturday + timedelta(days=1)
        assert failing(shop, sunday) == {}
        # Also if it sends an empty file on that day.
        shop.put("sunday.csv", HEADER)
        shop.load()
        assert failing(shop, sunday, "loads") == {}
        assert failing(shop, sunday) == {}
        assert failing(shop, sunday + timedelta(days=1))["no_unusual_silence"].example_ids == (
            "2024-03-11",
        )


def test_a_declared_holiday_week_is_accepted(tmp_path: Path) -> None:
    last, back_on = date(2024, 3, 2), date(2024, 3, 12)
    holidays = "closed_days: [2024-03-03..2024-03-10, 2024-03-11]\n"
    with live_shop(tmp_path / "declared", last, more=holidays) as shop:
        assert failing(shop, date(2024, 3, 11)) == {}
        assert judged(shop, "load_days", date(2024, 3, 11))[
            "silence_within_limit"
        ].observed_value == (
            "transactions: last data 2024-03-02; 9 days without any up to 2024-03-11, 9 of them "
            "closed; no file came after the one with that day"
        )
        assert list(failing(shop, back_on)) == ["no_unusual_silence"]
        shop.put("back.csv", sales(back_on))
        shop.load()
        assert failing(shop, back_on) == {}
    with live_shop(tmp_path / "undeclared", last) as shop:
        assert failing(shop, date(2024, 3, 11))["silence_within_limit"].is_blocking


def test_a_declared_limit_counts_from_the_first_day(tmp_path: Path) -> None:
    last = date(2024, 1, 5)
    with live_shop(tmp_path, last, more="limits: {maximum_silent_days: 2}\n") as shop:
        assert "silence_within_limit" not in failing(shop, last + timedelta(days=1))
        assert failing(shop, last + timedelta(days=2))["silence_within_limit"].is_blocking


@pytest.mark.parametrize("busy", [1, 10])
def test_a_feed_that_drops_to_a_tenth_is_warned_of(busy: int, tmp_path: Path) -> None:
    """Also where one day of the week brings ten times as much, which makes every day usual."""

    def usual(day: date) -> int:
        return 20 * busy if day.weekday() == SATURDAY else 20

    last = date(2024, 3, 8)
    with live_shop(tmp_path, last, per_day=usual) as shop:
        assert failing(shop, last) == {}
        saturday = last + timedelta(days=1)
        shop.put("saturday.csv", sales(saturday, per_day=lambda day: usual(day) // 10))
        shop.load()
        dropped = failing(shop, saturday)
        assert list(dropped) == ["volume_not_dropped"]
        warning = dropped["volume_not_dropped"]
        assert not warning.is_blocking
        assert warning.observed_value == (
            f"transactions, last day {2 * busy} lines; "
            f"transactions, seven days {120 + 2 * busy} lines"
        )
        assert warning.threshold == (
            f"transactions, last day at least {5 * busy} of the usual {20 * busy}; "
            f"transactions, seven days at least {30 + 5 * busy} of the usual {120 + 20 * busy}"
        )
        # The two before agree on an even business only.
        statistical = judged(shop, "load_days", saturday)["last_day_volume_usual"]
        assert statistical.is_passed == (busy == 10)


def test_an_empty_file_each_morning_is_warned_of_and_then_blocks(tmp_path: Path) -> None:
    last = date(2024, 3, 5)
    with live_shop(tmp_path, last) as shop:
        for number in range(1, 8):
            as_of = last + timedelta(days=number)
            shop.put(f"sales-{as_of}.csv", HEADER if number % 2 else "")
            shop.load()
            if number in (1, 7):
                empty = failing(shop, as_of, "loads")["no_empty_delivery"]
                assert not empty.is_blocking
                assert empty.observed_value == "1 of 1 files of the last deliveries without a line"
                assert empty.example_ids == (f"transactions sales-{as_of}.csv",)
                silence = failing(shop, as_of)
                assert silence["no_unusual_silence"].observed_value.endswith(
                    f"; {'1 file' if number == 1 else '7 files'} came after the one with that day, "
                    f"{number} of them without a line"
                )
                assert ("silence_within_limit" in silence) == (number == 7)


def test_one_of_two_shops_that_sends_nothing_is_noticed(tmp_path: Path) -> None:
    last = date(2024, 3, 5)
    with live_shop(tmp_path, last) as shop:
        as_of = last + timedelta(days=1)
        shop.put("a.csv", sales(as_of))
        shop.put("b.csv", HEADER)
        shop.load()
        assert failing(shop, as_of) == {}
        empty = failing(shop, as_of, "loads")["no_empty_delivery"]
        assert empty.observed_value == "1 of 2 files of the last deliveries without a line"
        # What came before the last delivery is told no more.
        shop.put("c.csv", sales(as_of + timedelta(days=1)))
        shop.load()
        assert failing(shop, as_of + timedelta(days=1), "loads") == {}


def by_visits(basis: str) -> dict[str, str]:
    """Return the parts of a shop whose visits are recorded, with what keeps a customer."""
    return {
        "files": "history.csv",
        "more": f"churn_definition: {{method: fixed, basis: {basis}, lost_days: 30}}\n",
        "tables": """\
  interactions:
    files: "visits-*.csv"
    date_format: "%Y-%m-%d %H:%M"
    columns: {customer_id: customer, occurred_at: at, interaction_type: kind}
""",
    }


def visits(*on: date, kind: str = "visit", per_day: int = 12) -> str:
    # Half an hour before midnight in New York: a day off by a time zone would show.
    rows = [f"c{number},{day} 23:30,{kind}\n" for day in on for number in range(per_day)]
    return "customer,at,kind\n" + "".join(rows)


@pytest.mark.parametrize("basis", ["interaction", "both"])
def test_dead_interactions_block_where_they_say_who_is_lost(basis: str, tmp_path: Path) -> None:
    dead, as_of = date(2024, 3, 5), date(2024, 3, 12)
    with live_shop(tmp_path, as_of, **by_visits(basis)) as shop:
        shop.put("visits-a.csv", visits(*days(FIRST, dead)))
        # What the firm sends goes on, and an empty file came.
        shop.put("visits-b.csv", visits(*days(dead, as_of), kind="message_sent"))
        shop.put("visits-c.csv", visits())
        shop.load("interactions")
        assert failing(shop, dead) == {}
        first = failing(shop, dead + timedelta(days=1))
        assert list(first) == ["no_unusual_silence"]
        assert first["no_unusual_silence"].observed_value == (
            "transactions: data up to 2024-03-06, the as-of date. "
            "interactions: last data 2024-03-05; 1 day without any up to 2024-03-06; "
            "2 files came after the one with that day, 1 of them without a line"
        )
        silence = failing(shop, as_of)["silence_within_limit"]
        assert silence.is_blocking
        assert silence.observed_value.startswith(
            "transactions: data up to 2024-03-12, the as-of date. "
            "interactions: last data 2024-03-05; 7 days without any up to 2024-03-12; "
        )
        assert silence.example_ids == tuple(f"2024-03-{day:02}" for day in range(6, 11))
        assert silence.threshold == (
            "transactions: fewer than 7 days without data, closed days left out. "
            "interactions: fewer than 7 days without data, closed days left out"
        )
        # The other way round the transactions are named.
        shop.put("visits-d.csv", visits(*days(dead, date(2024, 3, 19))))
        shop.load("interactions")
        sales_stopped = failing(shop, date(2024, 3, 19))["silence_within_limit"]
        assert sales_stopped.observed_value.startswith("transactions: last data 2024-03-12; 7 days")
        assert sales_stopped.observed_value.endswith(
            "interactions: data up to 2024-03-19, the as-of date"
        )


def test_fewer_interactions_are_warned_of_and_their_pattern_is_their_own(tmp_path: Path) -> None:
    """A weekly export of visits is on time, while the till is read every day."""
    last = date(2024, 3, 10)
    mondays = [day for day in days(FIRST, last) if day.weekday() == 0]
    with live_shop(tmp_path, last, **by_visits("both")) as shop:
        shop.put("visits-a.csv", visits(*mondays[:-1]))
        shop.put("visits-b.csv", visits(mondays[-1], per_day=2))
        shop.load("interactions")
        dropped = failing(shop, last)
        assert list(dropped) == ["volume_not_dropped"]
        assert dropped["volume_not_dropped"].observed_value == (
            "transactions, last day 12 lines; transactions, seven days 84 lines; "
            "interactions, last day 2 lines; interactions, seven days 2 lines"
        )
        assert dropped["volume_not_dropped"].example_ids == (
            "interactions, last day",
            "interactions, seven days",
        )


def test_dead_interactions_are_nothing_where_purchases_alone_count(tmp_path: Path) -> None:
    last = date(2024, 3, 12)
    with live_shop(tmp_path, last, **by_visits("purchase")) as shop:
        shop.put("visits-a.csv", visits(*days(FIRST, date(2024, 2, 1))))
        shop.load("interactions")
        assert failing(shop, last) == {}
        assert judged(shop, "load_days", last)["no_unusual_silence"].observed_value == (
            "transactions: data up to 2024-03-12, the as-of date"
        )
