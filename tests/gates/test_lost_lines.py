"""Lines of the current release that raw has no more: blocked, warned of, or accepted."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.gate_shop import gate_shop, judged
from support.raw_shop import HEADER, Shop, lines

from dagster_project.gates.lost_lines import lost_of_days, lost_of_files
from dagster_project.gates.outcomes import Outcome
from dagster_project.loading.raw_tables import first_days, lines_by_day

JANUARY = [date(2024, 1, number) for number in range(1, 32)]
INTERACTIONS = """\
  interactions:
    files: "interactions/*"
    columns: {customer_id: customer, occurred_at: day, interaction_type: type}
"""


def sales(days: list[date], per_day: int = 4, *, less: int = 0) -> str:
    """Return a file with so many lines a day, the last ones left out."""
    rows = [f"c{number},{day},5" for day in days for number in range(per_day)]
    return lines(*rows[: len(rows) - less])


def deliver(shop: Shop, files: dict[str, str]) -> None:
    for name, content in files.items():
        shop.put(name, content)
    for table in shop.source.tables:
        shop.load(table)


def manifest_of(shop: Shop) -> dict[str, Any]:
    """Return what the manifest of a release made of this raw layer says of its lines."""
    files = shop.rows(
        "select {table_name: table_name, file_name: parse_filename(source_file), "
        "row_count: row_count} from raw.loads"
    )
    return {
        "inputs": [one for (one,) in files],
        "lines_by_day": lines_by_day(shop.connection, "raw"),
        "first_days": first_days(shop.connection, "raw"),
    }


def told(
    shop: Shop, former: dict[str, Any] | None, *, is_accepted: bool = False
) -> dict[str, Outcome]:
    """Return what fails of these two expectations."""
    outcomes = judged(shop, "loads", former=former, is_accepted=is_accepted)
    names = ("no_lines_lost", "no_fewer_lines")
    return {name: outcomes[name] for name in names if not outcomes[name].is_passed}


def test_an_emptied_file_blocks_until_a_person_accepts_it(tmp_path: Path) -> None:
    half = {"a.csv": sales(JANUARY[:15]), "b.csv": sales(JANUARY[15:])}
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, half)
        former = manifest_of(shop)
        assert told(shop, former) == told(shop, None) == {}
        deliver(shop, {"b.csv": HEADER})
        lost = told(shop, former)["no_lines_lost"]
        assert lost.is_blocking
        assert lost.observed_value == "64 of 64 lines of 1 file; 64 of 64 lines of 16 days"
        assert (lost.unexpected_count, lost.evaluated_count) == (64, 64)
        assert lost.example_ids[:2] == ("transactions b.csv", "transactions 2024-01-16")
        accepted = told(shop, former, is_accepted=True)
        assert list(accepted) == ["no_fewer_lines"]
        assert not accepted["no_fewer_lines"].is_blocking
        # The files were put back: nothing is left of it.
        deliver(shop, half)
        assert told(shop, former) == {}


def test_a_file_that_was_cut_off_blocks_by_its_days(tmp_path: Path) -> None:
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, {"all.csv": sales(JANUARY)})
        former = manifest_of(shop)
        # The last three days, a tenth of the file.
        deliver(shop, {"all.csv": sales(JANUARY, less=12)})
        lost = told(shop, former)["no_lines_lost"]
    assert lost.observed_value == "12 of 12 lines of 3 days"
    assert lost.example_ids == tuple(f"transactions 2024-01-{day}" for day in (29, 30, 31))


def test_a_window_of_days_written_anew_blocks_with_its_first_lost_day(tmp_path: Path) -> None:
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, {"latest.csv": sales(JANUARY[:30], per_day=1)})
        former = manifest_of(shop)
        deliver(shop, {"latest.csv": sales(JANUARY[1:], per_day=1)})
        lost = told(shop, former)["no_lines_lost"]
        assert lost.observed_value == "1 of 1 lines of 1 day"
        assert lost.example_ids == ("transactions 2024-01-01",)
        assert "a name of its own" in lost.remedy


def test_a_window_beside_a_history_blocks_with_its_first_lost_day(tmp_path: Path) -> None:
    """Neither the first day of all goes, nor many lines: a day of the window's start does."""
    with gate_shop(tmp_path, files="*.csv") as shop:
        history = {"history.csv": sales(JANUARY[:10], per_day=1)}
        deliver(shop, history | {"latest.csv": sales(JANUARY[10:30], per_day=1)})
        former = manifest_of(shop)
        deliver(shop, {"latest.csv": sales(JANUARY[11:], per_day=1)})
        lost = told(shop, former)["no_lines_lost"]
        assert lost.observed_value == "1 of 1 lines of 1 day"
        assert lost.example_ids == ("transactions 2024-01-11",)
        # The day is kept in another file: nothing is lost.
        deliver(shop, {"more.csv": sales(JANUARY[10:11], per_day=1)})
        assert told(shop, former) == {}


def test_a_small_file_that_is_emptied_blocks(tmp_path: Path) -> None:
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, {"a.csv": sales(JANUARY), "b.csv": sales([date(2024, 2, 3)], per_day=2)})
        former = manifest_of(shop)
        deliver(shop, {"b.csv": HEADER})
        lost = told(shop, former)["no_lines_lost"]
    assert lost.observed_value == "2 of 2 lines of 1 day"


def test_a_corrected_file_is_warned_of(tmp_path: Path) -> None:
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, {"a.csv": sales(JANUARY)})
        former = manifest_of(shop)
        deliver(shop, {"a.csv": sales(JANUARY, less=1)})
        found = told(shop, former)
    assert list(found) == ["no_fewer_lines"]
    assert (
        found["no_fewer_lines"].observed_value == "1 of 124 lines of 1 file; 1 of 4 lines of 1 day"
    )


def test_files_that_go_and_files_that_change_their_name_lose_nothing(tmp_path: Path) -> None:
    with gate_shop(tmp_path, files="*.csv") as shop:
        deliver(shop, {"a.csv": sales(JANUARY[:15]), "b.csv": sales(JANUARY[15:])})
        former = manifest_of(shop)
        (shop.paths.landing / "a.csv").unlink()
        (shop.paths.landing / "b.csv").rename(shop.paths.landing / "c.csv")
        deliver(shop, {})
        assert told(shop, former) == {}


def test_interactions_are_compared_too_and_a_manifest_without_days_by_files(tmp_path: Path) -> None:
    visits = "customer,day,type\n" + "".join(f"c1,{day},visit\n" for day in JANUARY)
    with gate_shop(tmp_path, files="*.csv", tables=INTERACTIONS) as shop:
        deliver(shop, {"a.csv": sales(JANUARY), "interactions/v.csv": visits})
        former = manifest_of(shop)
        deliver(shop, {"interactions/v.csv": "".join(visits.splitlines(keepends=True)[:12])})
        lost = told(shop, former)["no_lines_lost"]
        assert lost.observed_value == "20 of 31 lines of 1 file; 20 of 20 lines of 20 days"
        assert lost.example_ids[0] == "interactions v.csv"
        old = {"inputs": former["inputs"]}
        assert told(shop, old)["no_lines_lost"].observed_value == "20 of 31 lines of 1 file"


@pytest.mark.parametrize(
    ("former", "now", "is_much"),
    [(50, 41, False), (50, 40, False), (50, 39, True), (12, 3, False), (12, 2, True)],
)
def test_a_file_has_lost_much_below_four_fifths_from_ten_lines_on(
    former: int, now: int, is_much: bool
) -> None:
    (lost,) = lost_of_files({("transactions", "a"): former}, {("transactions", "a"): now})
    assert lost.is_much is is_much


@pytest.mark.parametrize(
    ("former", "now", "is_much"),
    [
        ((9, 20, 20), (9, 10, 20), (False,)),
        ((9, 20, 20), (9, 9, 20), (True,)),
        ((9, 6, 6), (9, 1, 1), (True, True)),
        ((9, 6, 6), (9, 2, 1), (False, False)),
        ((9, 1, 1), (8, 0, 1), (False, False)),
        ((1, 9, 9), (0, 9, 9), (True,)),
        ((1, 1, 1), (0, 0, 0), (True, True, True)),
    ],
)
def test_days_have_lost_much_below_half_from_ten_lines_on_the_first_always(
    former: tuple[int, ...], now: tuple[int, ...], is_much: tuple[bool, ...]
) -> None:
    def days(counts: tuple[int, ...]) -> dict[tuple[str, str], int]:
        return {("transactions", f"2024-01-0{day}"): n for day, n in enumerate(counts, 1) if n}

    assert tuple(one.is_much for one in lost_of_days(days(former), days(now))) == is_much
