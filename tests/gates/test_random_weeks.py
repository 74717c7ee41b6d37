"""Weeks of files that come, are corrected, broken, mended: raw is whole, or the gate blocks."""

import os
import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from support.gate_shop import failed_gate, gate_shop
from support.raw_shop import Shop, lines, open_shop

# How many weeks are played, ten in a test.
WEEKS = int(os.environ.get("WINBACK_RANDOM_WEEKS", "10"))
MONDAY = date(2024, 3, 4)
BROKEN = "someone,no day,5"


def a_file(chance: random.Random, today: date) -> list[str]:
    """Return lines of the last days, of which some had come in another file."""
    return [
        f"c{chance.randrange(9)},{today - timedelta(days=chance.randrange(4))},"
        f"{chance.randrange(1, 10_000) / 100:.2f}"
        for _ in range(chance.randrange(2, 12))
    ]


def a_day(chance: random.Random, files: dict[str, list[str]], today: date) -> None:
    """Let happen to the files what happens on a day; a broken file is mended or breaks anew."""
    files[f"{today}.csv"] = a_file(chance, today)
    name = chance.choice(sorted(files))
    event = chance.choice(["nothing", "correct", "break", "remedy", "remedy", "withdraw"])
    if event == "correct":
        files[name] = a_file(chance, today)
    elif event == "break":
        files[name] = [*files[name], BROKEN]
    elif event == "remedy":
        for broken in files:
            files[broken] = [row for row in files[broken] if row != BROKEN]
    elif event == "withdraw":
        for broken in [one for one, rows in files.items() if BROKEN in rows]:
            del files[broken]


def deliver(shop: Shop, files: dict[str, list[str]], chance: random.Random) -> None:
    """Make the landing folder hold these files; a mended one may come with its old time."""
    for gone in {file.name for file in shop.paths.landing.glob("*.csv")} - set(files):
        (shop.paths.landing / gone).unlink()
    for name, rows in files.items():
        file = shop.paths.landing / name
        text = lines(*rows)
        if not file.exists() or file.read_text() != text:
            shop.put(name, text)
            if chance.random() < 0.5:
                os.utime(file, (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize(
    "seeds", [range(start, start + 10) for start in range(0, WEEKS, 10)], ids=str
)
def test_raw_is_that_of_one_load_and_whole_or_blocked(seeds: range, tmp_path: Path) -> None:
    verdicts = set()
    for seed in seeds:
        chance = random.Random(seed)
        files: dict[str, list[str]] = {}
        with gate_shop(tmp_path / f"often{seed}") as often:
            compared = {chance.randrange(6), 6}
            for number in range(7):
                a_day(chance, files, MONDAY + timedelta(days=number))
                deliver(often, files, chance)
                often.load()
                if number in compared:
                    with open_shop(tmp_path / f"once{seed}-{number}") as once:
                        deliver(once, files, chance)
                        once.load()
                        assert often.dump(is_content_only=True) == once.dump(is_content_only=True)
            outcomes = failed_gate(often, "loads")
            blocked = {name for name, one in outcomes.items() if one.severity == "critical"}
            is_broken = any(BROKEN in rows for rows in files.values())
            assert ("rejected_share_within_limit" in blocked) == is_broken
            if not is_broken:
                amounts = [Decimal(row.split(",")[2]) for rows in files.values() for row in rows]
                loaded = often.rows("select count(*), sum(amount) from raw.transactions")
                assert loaded == [(len(amounts), sum(amounts))]
            verdicts.add(is_broken)
    # Some weeks end well and some do not, or nothing is shown.
    assert verdicts == {True, False}
