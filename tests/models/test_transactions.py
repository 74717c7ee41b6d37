"""Customer-days and purchase days: what purchases were worth, and incremental as good as full."""

from dataclasses import astuple
from datetime import date
from decimal import Decimal
from pathlib import Path

from reference.numbers import differences
from reference.worlds import Built
from support.random_shop import (
    Definition,
    Line,
    World,
    deliver,
    load,
    make_shop,
    random_events,
    rows_of,
)
from support.shop import run_dbt

from dagster_project.paths import DBT_DIR

MARTS = sorted(path.stem for path in (DBT_DIR / "models" / "marts").rglob("*.sql"))


def test_worth_of_purchase_days_follows_the_rules(built: dict[str, Built]) -> None:
    shop = built["versions"]
    found = rows_of(
        shop.paths,
        "select customer_id, purchased_on, value_at_stake, margin_at_stake,"
        " expected_value_at_stake from intermediate.int_purchase_days",
    )
    expected = [
        (life.customer, day, *astuple(life.worth_on(day)))
        for life in shop.known.buyers
        for day in life.bought
    ]
    assert differences(found, expected) == ([], [])


def test_incremental_equals_full(tmp_path: Path) -> None:
    world = World(date(2024, 12, 31), (Definition("fixed", 90),))
    paths = make_shop(tmp_path, world)
    days = [date(2024, 12, number) for number in range(1, 11)]

    def line(customer: str, day: int, kind: str = "sale", amount: str = "5.00") -> Line:
        return Line(customer, days[day], kind, Decimal(amount))

    deliver(paths, "history.csv", random_events(world, 50).lines)
    deliver(paths, "untouched.csv", [line("a", 0), line("b", 0)])
    deliver(paths, "gone.csv", [line("a", 9)])
    deliver(
        paths,
        "changed.csv",
        [
            *[line(customer, day) for customer in ("a", "b") for day in (1, 2, 3)],
            line("a", 4),
            line("b", 5),
        ],
    )
    load(paths, "1")
    run_dbt(paths.warehouse, "seed", variables=world.variables(paths))
    run_dbt(paths.warehouse, "run", variables=world.variables(paths))
    before = rows_of(paths, "select * from intermediate.int_customer_days")

    deliver(
        paths,
        "changed.csv",
        [
            # A line more.
            *[line(customer, 1) for customer in ("a", "b", "c")],
            # One less.
            line("a", 2),
            # Another kind, another amount.
            line("a", 3, "return", "-5.00"),
            line("b", 3, amount="6.00"),
            # A day without customers, an empty day, and new ones after and long before.
            line("", 4),
            line("a", 6),
            Line("d", date(2022, 12, 1), "sale", Decimal(1)),
        ],
    )
    (paths.landing / "gone.csv").unlink()
    deliver(paths, "more.csv", [line("e", 0), line("a", 9)])
    load(paths, "2")
    run_dbt(paths.warehouse, "run", variables=world.variables(paths))
    tables = ["intermediate.int_customer_days", *(f"marts.{table}" for table in MARTS)]
    incremental = {table: rows_of(paths, f"from {table} order by all") for table in tables}
    run_dbt(paths.warehouse, "run", "--full-refresh", variables=world.variables(paths))
    for table in tables:
        assert rows_of(paths, f"from {table} order by all") == incremental[table], table

    days_now = {(row[0], row[1]): row for row in incremental["intermediate.int_customer_days"]}
    removed = {row[:2] for row in before} - set(days_now)
    assert removed == {("b", days[2]), ("a", days[4]), ("b", days[5])}
    sale_line_count, net_revenue = 2, 9
    assert days_now["a", days[3]][sale_line_count] == 0
    assert days_now["a", days[3]][net_revenue] == Decimal("-5.00")
    assert days_now["a", days[9]][sale_line_count] == 2
    assert days_now["a", days[9]][net_revenue] == Decimal("10.00")
