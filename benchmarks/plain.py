"""The yardstick: what a person who only wants the figures would write in plain SQL.

No lineage, no rejected lines, no gates, no history, no release; the same files and settings.
Run as a program of its own, so that its memory can be measured; prints the seconds as JSON.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import duckdb

from dagster_project.paths import SourcePaths, setting
from dagster_project.simulation.lines import FILES
from dagster_project.warehouse import literal

# The grocer's.
LOST_DAYS = 90
STEPS = ("load", "customer-days", "state", "gaps", "cohorts")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("as_of", type=date.fromisoformat)
    parser.add_argument("database", type=Path)
    parsed = parser.parse_args()
    paths = SourcePaths(Path(setting("WINBACK_DATA_DIR", "data")), parsed.source)
    print(json.dumps(build(paths, parsed.as_of, parsed.database)))


def build(paths: SourcePaths, as_of: date, database: Path) -> dict[str, float]:
    """Write the tables into a new DuckDB file; return the seconds of each step."""
    database.unlink(missing_ok=True)
    config = {
        "memory_limit": setting("WINBACK_MEMORY_LIMIT", "60%"),
        "temp_directory": str(database.with_suffix(".spill")),
    }
    seconds = {}
    with duckdb.connect(str(database), config=config) as connection:
        for name, statements in zip(STEPS, _sql(paths, as_of), strict=True):
            started = time.monotonic()
            connection.execute(statements)
            connection.execute("checkpoint")
            seconds[name] = time.monotonic() - started
    return seconds


def _sql(paths: SourcePaths, as_of: date) -> tuple[str, ...]:
    sales, customers = (
        literal(paths.landing / FILES[table]) for table in ("transactions", "customers")
    )
    return (
        f"""
        create table transactions as
        select
            transaction_id,
            customer_id,
            ordered_at,
            ordered_at::date as ordered_on,
            amount,
            quantity,
            product_id,
            category,
            channel,
            store_id,
            discount_amount,
            case when amount < 0 or quantity < 0 then 'return' else 'sale' end as line_type
        from read_parquet({sales});

        create table customer_records as
        select customer_id, signed_up_at, acquisition_source, region
        from read_parquet({customers});
        """,
        f"""
        create table customer_days as
        select
            customer_id,
            ordered_on,
            count(*) filter (line_type = 'sale') as sale_line_count,
            sum(amount)::decimal(18, 2) as net_revenue
        from transactions
        where ordered_on <= date '{as_of}'
        group by customer_id, ordered_on;
        """,
        f"""
        create table customer_states as
        select
            customer_id,
            min(ordered_on) filter (sale_line_count > 0) as first_purchase_on,
            max(ordered_on) filter (sale_line_count > 0) as last_purchase_on,
            count(*) filter (sale_line_count > 0) as purchase_day_count,
            sum(net_revenue)::decimal(18, 2) as net_revenue,
            date '{as_of}' - last_purchase_on as days_since_last_purchase,
            days_since_last_purchase > {LOST_DAYS} as is_lost
        from customer_days
        group by customer_id;
        """,
        """
        create table gaps as
        select
            customer_id,
            ordered_on as purchased_on,
            lead(ordered_on) over (partition by customer_id order by ordered_on) - ordered_on
                as gap_days
        from customer_days
        where sale_line_count > 0;
        """,
        """
        create table cohorts as
        select
            date_trunc('month', first_purchase_on) as acquisition_month,
            date_trunc('month', ordered_on) as month,
            count(distinct customer_id) filter (sale_line_count > 0) as customer_count,
            sum(customer_days.net_revenue)::decimal(18, 2) as net_revenue
        from customer_days inner join customer_states using (customer_id)
        group by all;
        """,
    )


if __name__ == "__main__":
    main()
