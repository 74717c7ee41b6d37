"""Who the customers are and when they buy: draws, all of them hashes.

Two classical models of buying until one drops out, half of the customers each. In both a customer
is acquired with a first purchase and then buys at an own rate, purchases coming by chance (a
Poisson process); over the customers the rates are gamma-distributed. They differ in the drop-out:

- Pareto/NBD: a lifetime, exponential with an own rate, which is gamma-distributed over the
  customers; dropping out has nothing to do with the last visit. Schmittlein, Morrison and Colombo
  (1987), Counting your customers: who are they and what will they do next?, Management Science
  33(1), assumptions 1 to 5.
- BG/NBD: a coin after each repeat purchase, with an own probability, which is beta-distributed
  over the customers; one leaves after a visit that was the last. Fader, Hardie and Lee (2005),
  "Counting your customers" the easy way, Marketing Science 24(2), assumptions i to v. As there, no
  coin is thrown after the first purchase.

Seasons are made by thinning (Lewis and Shedler 1979, Simulation of nonhomogeneous Poisson
processes by thinning): purchases are drawn at the rate of the busiest month, and in any other
month only the fitting share of them takes place.

Nothing is random: every draw is a hash of seed, purpose, customer and number, so a customer stays
the same whatever else is drawn, in whatever order and on however many threads, and a larger
business holds the smaller one of the same seed. The hash is DuckDB's own; another version of
DuckDB may make another business of a seed.
"""

import duckdb

from dagster_project.config.source import Source
from dagster_project.simulation.profiles import profile_of

PARETO_NBD, BG_NBD = "pareto_nbd", "bg_nbd"

# Lines of a basket are 1 to 7, each as likely: 4 on average. Lines and baskets are numbered within
# fixed blocks, so that one number names them: `basket * LINE_BLOCK + line`.
MAXIMUM_LINES = 7
LINE_BLOCK = 10
BASKET_BLOCK = 10_000
RETURN_SHARE = 0.03
# Acquisition grows: at the end of the period so many times as many a day as at its start.
ACQUISITION_GROWTH = 2.0
# Natural logarithm's standard deviation of what customers are worth.
CUSTOMER_SPREAD = 0.6

# Bounds memory: so many customers are drawn at once.
BATCH_CUSTOMERS = 1_000_000


def define_draws(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Define the draws: `chance` is uniform between 0 and 1, both excluded; `normal` standard.

    A hash of several values joins their hashes by exclusive or, which leaves draws whose last
    value differs tied to each other; hashing once more unties them. Of 52 bits and a half added a
    double keeps every one. The normal draw is Box and Muller's (1958).
    """
    connection.execute(f"""
        create macro chance(purpose, customer, number) as
            ((hash(hash({seed}, purpose, customer, number)) >> 12)::double + 0.5) / pow(2, 52);

        create macro normal(purpose, customer, number) as
            sqrt(-2 * ln(chance(purpose || ', distance', customer, number)))
            * cos(2 * pi() * chance(purpose || ', angle', customer, number));

        -- Log-normal with mean 1: most below, few far above.
        create macro spread(purpose, customer, number, deviation) as
            exp(deviation * normal(purpose, customer, number) - deviation * deviation / 2);
    """)


def _gamma(purpose: str, shape: float) -> str:
    """Return SQL that draws from a gamma distribution of scale 1 for each `customer`.

    A sum of exponentials, and half a squared normal for half a unit of shape: exact, and without
    the trial and error that other shapes take.
    """
    terms = [f"-ln(chance('{purpose} {i}', customer, 0))" for i in range(int(shape))]
    if shape % 1:
        terms.append(f"pow(normal('{purpose}', customer, 0), 2) / 2")
    return f"({' + '.join(terms)})"


def draw_customers(connection: duckdb.DuckDBPyConnection, source: Source, lines: int) -> None:
    """Fill the tables `customers` and `baskets` with so many customers that the lines are met."""
    connection.execute("""
        create table customers (
            customer integer, process varchar, purchase_rate double, dropout_rate double,
            dropout_probability double, mean_order_value double,
            -- Days since the start of the first day; null where the end of the period comes first.
            acquired_at double, dropped_out_at double
        );
        create table baskets (
            customer integer, basket integer, ordered_on date, line_count integer, is_last boolean
        );
    """)
    # The rest are returns.
    wanted = max(1, round(lines / (1 + RETURN_SHARE)))
    batch = min(BATCH_CUSTOMERS, max(100, wanted // 20))
    first, line_count = 1, 0
    while line_count < wanted:
        connection.execute(_customers_sql(source, first, first + batch))
        connection.execute(_baskets_sql(source, first))
        (line_count,) = connection.execute("select sum(line_count) from baskets").fetchone()
        first += batch
    (last,) = connection.execute(
        """
        with by_customer as (
            select customer, sum(line_count) as line_count from baskets group by customer
        ),
        running as (
            select customer, sum(line_count) over (order by customer) as total from by_customer
        )
        select min(customer) from running where total >= ?
        """,
        [wanted],
    ).fetchone()
    for table in ("customers", "baskets"):
        connection.execute(f"delete from {table} where customer > {last}")


def _customers_sql(source: Source, first: int, end: int) -> str:
    profile, days = profile_of(source), _day_count(source)
    return f"""
        insert into customers
        with numbered as (
            select range::integer as customer from range({first}, {end})
        ),
        drawn as (
            select
                customer,
                case when customer % 2 = 0 then '{PARETO_NBD}' else '{BG_NBD}' end as process,
                {_gamma("purchase rate", profile.purchase_shape)}
                    / {profile.purchase_shape * profile.purchase_days} as purchase_rate,
                {_gamma("drop-out rate", profile.lifetime_shape)}
                    / {float(profile.lifetime_days)} as dropout_rate,
                -- Of two gamma draws, the share of one in both is a beta draw.
                {_gamma("leave", profile.dropout_leave)} as leave,
                {_gamma("stay", profile.dropout_stay)} as stay,
                {profile.order_value} * spread('order value', customer, 0, {CUSTOMER_SPREAD})
                    as mean_order_value,
                -- The inverse of a share of customers that grows exponentially with time.
                {days} * ln(1 + chance('acquired', customer, 0) * {ACQUISITION_GROWTH - 1})
                    / ln({ACQUISITION_GROWTH}) as acquired_at
            from numbered
        ),
        dropped_out as (
            select
                *,
                acquired_at - ln(chance('lifetime', customer, 0)) / dropout_rate as dropped_out_at
            from drawn
        )
        select
            customer,
            process,
            purchase_rate,
            case when process = '{PARETO_NBD}' then dropout_rate end,
            case when process = '{BG_NBD}' then leave / (leave + stay) end,
            mean_order_value,
            acquired_at,
            -- Of the others it is known when their coin has fallen.
            case when process = '{PARETO_NBD}' and dropped_out_at < {days} then dropped_out_at end
        from dropped_out
    """


def _baskets_sql(source: Source, first: int) -> str:
    """Return SQL that lets customers from a number on buy, purchase by purchase, all at once."""
    profile, days = profile_of(source), _day_count(source)
    busiest = max(profile.season) * 12 / sum(profile.season)
    shares = [month / max(profile.season) for month in profile.season]
    return f"""
        insert into baskets
        with recursive buyers as (
            select
                customer,
                -- Of the days in the busiest month.
                purchase_rate * {busiest} as rate,
                coalesce(dropped_out_at, {days}) as ends_at,
                coalesce(dropout_probability, 0) as dropout_probability,
                acquired_at
            from customers
            where customer >= {first}
        ),
        -- `number` counts the purchases drawn, `is_made` tells those that the season lets happen.
        purchases as (
            select
                customer, rate, ends_at, dropout_probability,
                0 as number,
                acquired_at as bought_at,
                true as is_made,
                false as is_last
            from buyers

            union all

            select
                customer, rate, ends_at, dropout_probability,
                number,
                bought_at,
                is_made,
                is_made and chance('coin', customer, number) < dropout_probability as is_last
            from (
                select
                    *,
                    chance('season', customer, number)
                        < {shares}[month({day_sql("bought_at", source)})] as is_made
                from (
                    select
                        customer, rate, ends_at, dropout_probability,
                        number + 1 as number,
                        bought_at - ln(chance('gap', customer, number + 1)) / rate as bought_at
                    from purchases
                    where not is_last and number + 1 < {BASKET_BLOCK}
                )
                where bought_at < ends_at
            )
        )
        select
            customer,
            number,
            {day_sql("bought_at", source)},
            1 + floor(chance('lines', customer, number) * {MAXIMUM_LINES})::integer,
            is_last
        from purchases
        where is_made
    """


def _day_count(source: Source) -> int:
    return (source.last_day - source.first_day).days + 1


def day_sql(moment: str, source: Source) -> str:
    """Return SQL for the business date of a moment in days since the start of the first day."""
    return f"(date '{source.first_day}' + floor({moment})::integer)"
