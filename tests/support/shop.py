"""What tests of several folders share: a small made-up shop, `winback` as a process, and dbt."""

import contextlib
import csv
import fcntl
import gc
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from dagster_project.cli.main import main
from dagster_project.models import dbt_project, dbt_runner
from dagster_project.paths import SourcePaths

SHOP = "shop"
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2024, 3, 31)
SHOP_YML = """\
description: A small shop made up for the tests
kind: finished
first_day: 2024-01-01
last_day: 2024-03-31
industry: restaurant
currency: EUR
time_zone: Europe/Berlin
margin_rate: 0.4

tables:
  transactions:
    files: "sales-*.csv"
    date_format: "%Y-%m-%d %H:%M"
    key: transaction_id
    columns:
      transaction_id: order
      customer_id: customer
      ordered_at: time
      amount: amount
      product_id: product
  customers:
    files: "members.csv"
    encoding: gbk
    date_format: "%Y-%m-%d"
    columns:
      customer_id: customer
      signed_up_at: joined
      region: region
      email: email
      phone: phone
"""
LIVE_YML = SHOP_YML.replace("kind: finished", "kind: live").replace("last_day: 2024-03-31\n", "")
WINBACK = Path(sys.executable).with_name("winback")
# A run takes some ten seconds, on a busy machine a minute; one that hangs shall not hold the
# tests for their whole timeout.
RUN_SECONDS = 300


@dataclass(frozen=True)
class Outcome:
    """What a finished `winback` left behind."""

    code: int
    output: str
    messages: str
    seconds: float


def winback(*arguments: object, data_dir: Path, **environment: str) -> Outcome:
    """Run `winback` to its end in this process, which has loaded all libraries already."""
    output, messages, code = io.StringIO(), io.StringIO(), 0
    former, collecting = dict(os.environ), gc.get_threshold()
    os.environ.update(environment)
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
            main([*map(str, arguments), "--data-dir", str(data_dir)])
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(former)
        gc.set_threshold(*collecting)
    return Outcome(code, output.getvalue(), messages.getvalue(), time.monotonic() - started)


def winback_process(*arguments: object, data_dir: Path, **environment: str) -> Outcome:
    """Run `winback` to its end as a process of its own, as a person does."""
    started = time.monotonic()
    with start_winback(*arguments, data_dir=data_dir, **environment) as process:
        try:
            output, messages = process.communicate(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    # What libraries complain of at exit, where something is left open.
    assert "leaked" not in messages
    return Outcome(process.returncode, output, messages, time.monotonic() - started)


def start_winback(*arguments: object, data_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `winback` and return at once."""
    return subprocess.Popen(
        [str(WINBACK), *map(str, arguments), "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run_once(
    data_dir: Path, source: str, prepare: Callable[[Path], object] = Path.mkdir
) -> Outcome:
    """Publish a source's first release, or say what came of it if another worker did.

    Args:
        data_dir: Does not exist before.
        source: Name of the source.
        prepare: Makes the data directory.
    """
    done = data_dir.with_suffix(".json")
    with data_dir.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(data_dir, ignore_errors=True)
            prepare(data_dir)
            outcome = winback("run", "--source", source, data_dir=data_dir)
            assert outcome.code == 0, outcome.messages
            done.write_text(json.dumps(asdict(outcome)))
        return Outcome(**json.loads(done.read_text()))


def shop_paths(data_dir: Path) -> SourcePaths:
    """Return the folders of the shop."""
    return SourcePaths(data_dir, SHOP)


def sales(until: date = LAST_DAY) -> list[dict[str, str]]:
    """Return the shop's sales up to a day; always the same ones."""
    dice = random.Random(7)
    rows = []
    for number in range(60):
        # Some come every few days, some once a month, some once; a third stops half-way.
        gap = dice.choice((3, 7, 20, 200))
        stops = dice.choice((LAST_DAY, LAST_DAY, date(2024, 2, 10)))
        day = FIRST_DAY + timedelta(days=dice.randrange(40))
        while day <= stops:
            rows.append(
                {
                    "customer": f"C{number:03}",
                    # Half an hour before midnight: a day off by a time zone would show.
                    "time": f"{day} 23:30",
                    "amount": f"{dice.randrange(500, 9000) / 100:.2f}",
                    "product": dice.choice("ABC"),
                }
            )
            day += timedelta(days=gap + dice.randrange(3))
    rows.sort(key=lambda row: row["time"])
    numbered = [{"order": f"{number:05}", **row} for number, row in enumerate(rows)]
    return [row for row in numbered if row["time"][:10] <= str(until)]


def write_csv(file: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> None:
    """Write rows with a header."""
    with file.open("w", newline="", encoding=encoding) as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def make_shop(data_dir: Path, *, until: date = LAST_DAY, config: str = SHOP_YML) -> SourcePaths:
    """Set up a shop: its configuration, a file of sales a month, and its members."""
    paths = shop_paths(data_dir)
    (data_dir / "sources").mkdir(parents=True)
    (data_dir / "sources" / f"{SHOP}.yml").write_text(config)
    paths.landing.mkdir(parents=True)
    rows = sales(until)
    for month in sorted({row["time"][:7] for row in rows}):
        write_csv(
            paths.landing / f"sales-{month}.csv",
            [row for row in rows if row["time"].startswith(month)],
        )
    members = [
        {
            "customer": f"C{number:03}",
            "joined": "2023-12-01",
            "region": "北京" if number % 2 else "上海",
            "email": f"member{number}@example.org",
            "phone": f"+49 30 5550{number:03}",
        }
        for number in range(0, 65)
    ]
    write_csv(paths.landing / "members.csv", members, "gbk")
    return paths


def add_sales(paths: SourcePaths, count: int, *, broken: int = 0) -> Path:
    """Add a file with sales of the last day, the first of them with an unreadable amount."""
    rows = [
        {
            "order": f"X{number:05}",
            "customer": f"C{number % 60:03}",
            "time": f"{LAST_DAY} 12:00",
            "amount": "twelve" if number < broken else "12.00",
            "product": "A",
        }
        for number in range(count)
    ]
    file = paths.landing / "sales-late.csv"
    write_csv(file, rows)
    return file


def copy_data(data_dir: Path, target: Path) -> Path:
    """Copy a data directory with its links."""
    return Path(shutil.copytree(data_dir, target, symlinks=True))


def run_dbt(warehouse: Path, *arguments: str, variables: dict[str, Any] | None = None) -> None:
    """Run dbt on a warehouse, as a run does it; the project is parsed once for all tests."""
    variables = dbt_project.default_variables() | (variables or {})
    dbt_project.manifest_path()
    dbt_runner.run_dbt(
        [*arguments, "--no-write-json"],
        target=warehouse.parent / "dbt",
        variables=variables,
        # The tests have a process for each core already; whole runs have dbt's usual threads.
        environment={"WINBACK_WAREHOUSE": str(warehouse), "WINBACK_DBT_THREADS": "1"},
        parsed=dbt_project.parsed_project(variables),
    )


def start_dbt(warehouse: Path, settings: dict[str, Any]) -> Callable[..., None]:
    """Return dbt on one warehouse with one source's settings: (command, as of, *arguments)."""

    def dbt(command: str, as_of: date, *arguments: str) -> None:
        variables = settings | {"as_of_date": as_of.isoformat()}
        run_dbt(warehouse, command, *arguments, variables=variables)

    return dbt
