"""What a simulated business leaves behind: lines of sales and returns, customers, and the truth.

Each kind of file is written from the drawn customers and baskets.
"""

from datetime import date
from pathlib import Path

import duckdb

from dagster_project.config.source import Source
from dagster_project.simulation.draws import (
    BASKET_BLOCK,
    LINE_BLOCK,
    MAXIMUM_LINES,
    RETURN_SHARE,
    day_sql,
)
from dagster_project.simulation.profiles import profile_of
from dagster_project.warehouse import literal

# The files a simulated source reads, by canonical table.
FILES = {"transactions": "sales-*.parquet", "customers": "customers-*.parquet"}

MEAN_LINES = (1 + MAXIMUM_LINES) / 2
RETURN_DAYS = 14
# Natural logarithms' standard deviations of what baskets and lines are worth.
BASKET_SPREAD = 0.4
LINE_SPREAD = 0.5
WEB_SHARE = 0.25
DISCOUNTED_SHARE = 0.2
PRODUCT_COUNT = 2_000
STORE_COUNT = 40
# All within a day whatever the clock change, and no time that a clock change leaves out.
OPENING_SECOND = 8 * 3600
OPEN_SECONDS = 13 * 3600
# Signing up comes up to so many days before the first purchase.
SIGN_UP_DAYS = 14


def write_month(
    connection: duckdb.DuckDBPyConnection, source: Source, month: date, landing: Path
) -> int:
    """Write the lines dated in a month, sorted by time; return their number."""
    file = landing / FILES["transactions"].replace("*", f"{month:%Y-%m}")
    return _copy(connection, _lines_sql(source, month), "ordered_at, transaction_id, line", file)


def _lines_sql(source: Source, month: date) -> str:
    """Return SQL for the lines of a month's purchases, and of the returns that fall into it."""
    profile = profile_of(source)
    first = f"date '{month}'"
    last = f"least(last_day({first}), date '{source.last_day}')"
    return f"""
        -- What is returned in this month may have been bought in the one before.
        with baskets_in_reach as (
            select baskets.*, mean_order_value
            from baskets inner join customers using (customer)
            where ordered_on between {first} - {RETURN_DAYS} and {last}
        ),
        baskets_described as (
            select
                *,
                mean_order_value * spread('basket value', customer, basket, {BASKET_SPREAD})
                    as basket_value,
                case when chance('channel', customer, basket) < {WEB_SHARE} then 'web' else 'store'
                    end as channel,
                -- Everybody has a store of their own, and now and then goes to another one.
                case when chance('other store', customer, basket) < 0.1
                    then chance('store', customer, basket)
                    else chance('home store', customer, 0)
                    end as store_draw
            from baskets_in_reach
        ),
        lines as (
            select *, basket * {LINE_BLOCK} + line as item
            from (select *, unnest(range(line_count)) as line from baskets_described)
        ),
        dated as (
            select *, false as is_return, ordered_on as dated_on from lines

            union all

            -- A return is a line of its own, some days later, for all that the line was.
            select
                *,
                true,
                ordered_on + 1 + floor(chance('return days', customer, item) * {RETURN_DAYS})
                    ::integer
            from lines
            where chance('returned', customer, item) < {RETURN_SHARE}
        ),
        lines_of_month as (
            select
                *,
                case when is_return then -1 else 1 end as sign,
                -- The square makes the first products the popular ones.
                floor(pow(chance('product', customer, item), 2) * {PRODUCT_COUNT})::integer
                    as product,
                chance('quantity', customer, item) as quantity_draw,
                chance('discount', customer, item) as discount_draw
            from dated
            where dated_on between {first} and {last}
        ),
        valued as (
            select
                *,
                -- At least a cent, so that the line of a purchase is never worth nothing.
                greatest(
                    0.01,
                    basket_value / {MEAN_LINES}
                        * spread('line value', customer, item, {LINE_SPREAD})
                ) as paid,
                -- Tenths off the list price: one, two or three.
                case when discount_draw < {DISCOUNTED_SHARE}
                    then 1 + floor(discount_draw / {DISCOUNTED_SHARE} * 3) else 0
                    end / 10 as discount_rate
            from lines_of_month
        )
        select
            case
                when is_return then 'R' || (customer::bigint * {BASKET_BLOCK * LINE_BLOCK} + item)
                else 'B' || (customer::bigint * {BASKET_BLOCK} + basket)
            end as transaction_id,
            line,
            'C' || customer as customer_id,
            dated_on + to_seconds({OPENING_SECOND} + floor(
                case when is_return then chance('return time', customer, item)
                    else chance('time', customer, basket) end * {OPEN_SECONDS}
            )) as ordered_at,
            sign * paid::decimal(18, 2) as amount,
            sign * case when quantity_draw < 0.7 then 1 when quantity_draw < 0.9 then 2 else 3 end
                as quantity,
            'P' || product as product_id,
            {list(profile.categories)}[product % {len(profile.categories)} + 1] as category,
            channel,
            case when channel = 'store' then 'S' || floor(store_draw * {STORE_COUNT})::integer end
                as store_id,
            sign * (paid / (1 - discount_rate) - paid)::decimal(18, 2) as discount_amount
        from valued
    """


def write_customers(connection: duckdb.DuckDBPyConnection, source: Source, landing: Path) -> None:
    """Write the firm's own records of its customers, a file for each year of sign-up."""
    for year in range(source.first_day.year, source.last_day.year + 1):
        select = f"""
            with signed_up as (
                select
                    customer,
                    greatest(
                        {day_sql("acquired_at", source)}
                            - floor(chance('sign-up', customer, 0) * {SIGN_UP_DAYS})::integer,
                        date '{source.first_day}'
                    ) as signed_up_on,
                    chance('acquisition source', customer, 0) as source_draw,
                    chance('region', customer, 0) as region_draw
                from customers
            )
            select
                'C' || customer as customer_id,
                -- Before the doors open, so never after a purchase of that day.
                signed_up_on + to_seconds({OPENING_SECOND} - 1800) as signed_up_at,
                case when source_draw < 0.2 then 'event' when source_draw < 0.5 then 'partner'
                    else 'website' end as acquisition_source,
                ['north', 'east', 'south', 'west'][1 + floor(region_draw * 4)::integer] as region
            from signed_up
            where year(signed_up_on) = {year}
        """
        file = landing / FILES["customers"].replace("*", str(year))
        _copy(connection, select, "signed_up_at, customer_id", file)


def write_truth(connection: duckdb.DuckDBPyConnection, source: Source, file: Path) -> None:
    """Write what nobody outside a simulation can know; see the module."""
    select = f"""
        with last_baskets as (
            select customer, ordered_on from baskets where is_last
        )
        select
            'C' || customer as customer_id,
            process,
            purchase_rate,
            dropout_rate,
            dropout_probability,
            {day_sql("acquired_at", source)} as acquired_on,
            coalesce({day_sql("dropped_out_at", source)}, ordered_on) as dropped_out_on,
            mean_order_value::decimal(18, 2) as mean_order_value
        from customers left join last_baskets using (customer)
    """
    _copy(connection, select, "customer_id", file)


def _copy(connection: duckdb.DuckDBPyConnection, select: str, order: str, file: Path) -> int:
    """Write a Parquet file of rows in a fixed order; no file for no rows. Return their number."""
    (row_count,) = connection.execute(
        f"copy ({select} order by {order}) to {literal(file)} (format parquet)"
    ).fetchone()
    if not row_count:
        file.unlink()
    return row_count
