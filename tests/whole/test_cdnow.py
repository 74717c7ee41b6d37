"""The whole pipeline over the CDNOW sample, against published figures and plain Python."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from support.shop import Outcome, winback

from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths

SOURCE = "cdnow_sample"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def paths(published_cdnow: tuple[SourcePaths, Outcome]) -> SourcePaths:
    return published_cdnow[0]


@pytest.fixture
def outcome(published_cdnow: tuple[SourcePaths, Outcome]) -> Outcome:
    return published_cdnow[1]


@pytest.fixture
def published(paths: SourcePaths) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(paths.published_file), read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def purchases() -> list[tuple[str, date, Decimal]]:
    """Return customer, day and amount of every line, read by plain Python."""
    (file,) = (path for path in metadata.files("lifetimes") if path.name == "CDNOW_sample.txt")
    lines = [line.split() for line in Path(file.locate()).read_text().splitlines()]
    return [
        (customer, date(int(day[:4]), int(day[4:6]), int(day[6:])), Decimal(amount))
        for customer, _, day, _, amount in filter(None, lines)
    ]


def test_the_run_says_what_it_published(outcome: Outcome, paths: SourcePaths) -> None:
    assert outcome.code == 0, outcome.messages
    for text in ("as of 1998-06-30", "Customers  2,357", "lost", "Value lost", "Win back first"):
        assert text in outcome.output
    assert str(paths.published_file) in outcome.output
    assert "raw/transactions" in outcome.messages
    assert "marts.customers" in outcome.messages


def test_totals_are_the_published_ones(published: duckdb.DuckDBPyConnection) -> None:
    assert published.execute(
        "select count(*), sum(purchase_day_count), sum(net_revenue) from customers"
    ).fetchone() == (2357, 6696, Decimal("244091.94"))
    assert published.execute(
        "select count(*) from customers where purchase_day_count = 1"
    ).fetchone() == (1218,)


def test_every_customer_is_as_plain_python_counts(
    published: duckdb.DuckDBPyConnection, purchases: list[tuple[str, date, Decimal]]
) -> None:
    days: dict[str, set[date]] = defaultdict(set)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for customer, day, amount in purchases:
        days[customer].add(day)
        revenue[customer] += amount
    end = date(1998, 6, 30)
    expected = [
        (
            customer,
            min(days[customer]),
            max(days[customer]),
            len(days[customer]),
            (end - max(days[customer])).days,
            revenue[customer],
        )
        for customer in sorted(days)
    ]
    found = published.execute(
        "select customer_id, first_purchase_on, last_purchase_on, purchase_day_count, "
        "days_since_last_purchase, net_revenue from customers order by customer_id"
    ).fetchall()
    assert found == expected


def test_the_month_flow_is_as_plain_python_counts(
    published: duckdb.DuckDBPyConnection, purchases: list[tuple[str, date, Decimal]]
) -> None:
    active: dict[date, set[str]] = defaultdict(set)
    for customer, day, _ in purchases:
        active[day.replace(day=1)].add(customer)
    expected, seen, before = {}, set(), set()
    for month in sorted(active):
        now = active[month]
        new = now - seen
        returning = now & before
        expected[month] = (
            len(now),
            len(new),
            len(returning),
            len(now - new - returning),
            len(before - now),
            True,
        )
        seen |= now
        before = now
    found = published.execute("select * from lifecycle_flow order by month").fetchall()
    assert {row[0]: row[1:] for row in found} == expected
    # The reference figures: new, returning, resurrecting, dormant.
    reference = {
        date(1997, 1, 1): (781, 0, 0, 0),
        date(1997, 2, 1): (857, 124, 0, 657),
        date(1997, 3, 1): (719, 168, 61, 813),
        date(1997, 4, 1): (0, 171, 96, 777),
        date(1997, 12, 1): (0, 65, 118, 140),
        date(1998, 6, 1): (0, 41, 97, 93),
    }
    assert {month: expected[month][1:5] for month in reference} == reference


def test_cohorts_are_as_published(
    published: duckdb.DuckDBPyConnection, purchases: list[tuple[str, date, Decimal]]
) -> None:
    retained = dict(
        published.execute(
            "select months_since, retained_customer_count from cohort_retention "
            "where acquisition_month = date '1997-01-01'"
        ).fetchall()
    )
    reference = {0: 781, 1: 124, 2: 95, 3: 70, 6: 65, 12: 45, 17: 33}
    assert {k: retained[k] for k in reference} == reference

    first: dict[str, date] = {}
    for customer, day, _ in sorted(purchases, key=lambda purchase: purchase[1]):
        first.setdefault(customer, day.replace(day=1))
    cells = Counter(
        (first[customer], months(first[customer], month))
        for customer, month in {(c, day.replace(day=1)) for c, day, _ in purchases}
    )
    found = published.execute(
        "select acquisition_month, months_since, retained_customer_count from cohort_retention "
        "where retained_customer_count > 0"
    ).fetchall()
    assert {row[:2]: row[2] for row in found} == dict(cells)


def test_losses_are_as_published(published: duckdb.DuckDBPyConnection) -> None:
    """By 90 days, which is the source's own definition: that of the reference figures."""
    assert published.execute(
        "select method, first_time_lost_days, repeat_lost_days from churn_definitions "
        "where definition_id = 'active'"
    ).fetchall() == [("fixed", 90, 90)]
    assert published.execute(
        "select count(*) from customers where lifecycle_stage = 'lost'"
    ).fetchone() == (2057,)
    assert published.execute(
        "select count(regained_on), count(*) filter (is_open) from lost_episodes"
    ).fetchone() == (1085, 2057)
    assert published.execute(
        "select sum(lost_customer_count), sum(regained_customer_count) from lost_customers_by_month"
    ).fetchone() == (1085 + 2057, 1085)


@pytest.mark.parametrize("definition", ["active", "fixed_90"])
def test_the_back_test_is_as_published(
    published: duckdb.DuckDBPyConnection, definition: str
) -> None:
    assert published.execute(
        "select customer_count, called_lost_count, false_lost_count, missed_count "
        "from churn_definition_backtest "
        "where definition_id = ? and cutoff_on = date '1998-04-01' and horizon_days = 90",
        [definition],
    ).fetchall() == [(2357, 1971, 129, 216)]


def test_losses_are_as_plain_python_counts(
    published: duckdb.DuckDBPyConnection, purchases: list[tuple[str, date, Decimal]]
) -> None:
    days: dict[str, set[date]] = defaultdict(set)
    for customer, day, _ in purchases:
        days[customer].add(day)
    end, threshold, expected = date(1998, 6, 30), timedelta(days=90), []
    for customer, bought in days.items():
        for day, after in pairwise([*sorted(bought), None]):
            if (after or end) - day > threshold:
                expected.append((customer, day + threshold + timedelta(days=1), after))
    found = published.execute("select customer_id, lost_on, regained_on from lost_episodes")
    assert sorted(found.fetchall(), key=str) == sorted(expected, key=str)


def test_gates_and_inputs_are_on_record(
    published: duckdb.DuckDBPyConnection, paths: SourcePaths
) -> None:
    ((release_id, source, inputs, row_counts),) = published.execute(
        "select release_id, source_name, inputs, row_counts from releases"
    ).fetchall()
    assert source == SOURCE
    ((file_name, row_count),) = {(one["file_name"], one["row_count"]) for one in inputs}
    assert (file_name, row_count) == ("CDNOW_sample.txt", 6919)
    assert {one["table_name"]: one["row_count"] for one in row_counts} == {
        table: published.execute(f"select count(*) from {table}").fetchone()[0]
        for (table,) in published.execute("show tables").fetchall()
        if table not in ("releases", "gate_results")
    }
    suites = {
        (gate, file.stem, expectation["meta"]["id"])
        for gate in ("raw", "release")
        for file in (Path(__file__).parents[2] / "expectations" / gate).glob("*.json")
        for expectation in json.loads(file.read_text())["expectations"]
    }
    results = published.execute(
        "select gate, table_name, expectation, is_passed from gate_results where release_id = ?",
        [release_id],
    ).fetchall()
    assert {row[:3] for row in results} == suites
    assert len(results) == len(suites)
    assert all(row[3] for row in results)


def test_the_release_folder_is_whole_and_read_only(
    published: duckdb.DuckDBPyConnection, paths: SourcePaths
) -> None:
    folder = paths.current.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {name for name in manifest["files"] if not name.startswith("data_docs")}
    tables = [name for (name,) in published.execute("show tables").fetchall()]
    assert files == {"winback.duckdb", *(f"parquet/{table}.parquet" for table in tables)}
    for name, file in manifest["files"].items():
        assert file_hash(folder / name) == file["sha256"], name
        assert (folder / name).stat().st_size == file["bytes"], name
    assert (folder / "data_docs" / "index.html").is_file()
    assert not list(folder.rglob("*.wal"))
    assert {oct(file.stat().st_mode & 0o777) for file in folder.rglob("*") if file.is_file()} == {
        "0o444"
    }
    for (table,) in published.execute("show tables").fetchall():
        copy = folder / "parquet" / f"{table}.parquet"
        difference = f"(from {table} except all from '{copy}')"
        counts = f"select (select count(*) from '{copy}'), (select count(*) from {table})"
        assert published.execute(f"select count(*) from {difference}").fetchone() == (0,), table
        assert len(set(published.execute(counts).fetchone())) == 1, table


def test_every_published_column_is_described(published: duckdb.DuckDBPyConnection) -> None:
    assert (
        published.execute(
            "select table_name, column_name from duckdb_columns() "
            "where not internal and coalesce(comment, '') = ''"
        ).fetchall()
        == []
    )
    assert (
        published.execute(
            "select table_name from duckdb_tables() where coalesce(comment, '') = ''"
        ).fetchall()
        == []
    )


def test_a_second_run_finds_nothing_new_and_starts_nothing(
    outcome: Outcome, paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file_hash(paths.published_file)
    again = winback("run", "--source", SOURCE, data_dir=paths.data_dir)
    assert again.code == 0, again.messages
    assert "Nothing new" in again.messages
    assert again.seconds < 20
    assert file_hash(paths.published_file) == before
    monkeypatch.setenv("DAGSTER_HOME", str(paths.dagster_home))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.is_success
        assert run.job_name == "daily"
        log = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert any("6,919 rows" in line for line in log)


def months(first: date, month: date) -> int:
    return (month.year - first.year) * 12 + month.month - first.month
