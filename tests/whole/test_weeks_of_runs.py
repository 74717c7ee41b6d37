"""Random weeks of whole runs: what is published is what the files hold, or what it was before.

WINBACK_WEEKS_OF_RUNS=3 plays three weeks, seven runs each; without it none is played, for
`tests/gates/test_random_weeks.py` plays them at the level of the load.
"""

import os
import random
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest
from support.shop import SHOP, make_shop, sales, winback, write_csv

from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths

pytestmark = pytest.mark.timeout(1800)
WEEKS = int(os.environ.get("WINBACK_WEEKS_OF_RUNS", "0"))
MONDAY = date(2024, 3, 11)
Files = dict[str, list[dict[str, str]]]


def a_day(chance: random.Random, files: Files, today: date, arriving: list[dict[str, str]]) -> None:
    """Let a file come, and one be corrected, broken, mended or withdrawn while it is broken."""
    if arriving:
        files[f"sales-{today}.csv"] = arriving
    name = chance.choice(sorted(files))
    event = chance.choice(["nothing", "correct", "break", "break", "remedy", "remedy", "withdraw"])
    if event == "correct":
        files[name] = [row | {"amount": f"{chance.randrange(9000) / 100}"} for row in files[name]]
    elif event == "break":
        # More than the 1% that a file may have.
        broken = files[name][0] | {"order": "broken", "amount": "x"}
        files[name] = [*files[name], *[broken] * (len(files[name]) // 20 + 1)]
    elif event == "remedy":
        for one, rows in files.items():
            files[one] = [row for row in rows if row["order"] != "broken"]
    elif event == "withdraw":
        for one in [one for one, rows in files.items() if is_broken(rows)]:
            if one > f"sales-{MONDAY}":
                del files[one]


def is_broken(rows: list[dict[str, str]]) -> bool:
    return any(row["order"] == "broken" for row in rows)


def deliver(paths: SourcePaths, files: Files, chance: random.Random) -> None:
    for file in paths.landing.glob("sales-*.csv"):
        if file.name not in files:
            file.unlink()
    for name, rows in files.items():
        file, former = paths.landing / name, None
        if file.exists():
            former = file.read_bytes()
        write_csv(file, rows)
        if former is not None and file.read_bytes() != former and chance.random() < 0.5:
            os.utime(file, (1_700_000_000, 1_700_000_000))


def spent(files: Files) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for rows in files.values():
        for row in rows:
            totals[row["customer"]] += Decimal(row["amount"])
    return dict(totals)


@pytest.mark.skipif(not WEEKS, reason="WINBACK_WEEKS_OF_RUNS=3 plays three weeks of whole runs")
@pytest.mark.parametrize("seed", range(WEEKS or 1))
def test_published_is_what_the_files_hold_or_what_it_was(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    paths = make_shop(tmp_path_factory.mktemp("week") / "data", until=MONDAY - timedelta(days=1))
    rows = sales()
    files: Files = defaultdict(list)
    for row in rows:
        if row["time"] < str(MONDAY):
            files[f"sales-{row['time'][:7]}.csv"].append(row)
    files = dict(files)
    codes = []
    for number in range(7):
        today = MONDAY + timedelta(days=number)
        a_day(chance, files, today, [row for row in rows if row["time"].startswith(str(today))])
        deliver(paths, files, chance)
        before = file_hash(paths.published_file) if paths.published_file.exists() else None
        outcome = winback("run", "--source", SHOP, data_dir=paths.data_dir)
        codes.append(outcome.code)
        if any(is_broken(one) for one in files.values()):
            assert outcome.code == 3, outcome.messages
            assert "rejected_share_within_limit" in outcome.messages
            now = file_hash(paths.published_file) if paths.published_file.exists() else None
            assert now == before
            continue
        assert outcome.code == 0, outcome.messages
        with duckdb.connect(str(paths.published_file), read_only=True) as release:
            published = dict(
                release.execute(
                    "select customer_id, net_revenue from customers where net_revenue <> 0"
                ).fetchall()
            )
        assert published == {one: total for one, total in spent(files).items() if total}
    # A week without a block or without a release shows nothing.
    assert {*codes} == {0, 3}, codes
