"""A simulated business of any size, and the truth about every customer of it.

No real data set says when a customer relationship ended: nobody cancels. Here it is known, so one
can measure how many of those really gone are called lost, and how long after.

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

To add to the business (interactions, campaigns): draw under a purpose of its own, which leaves
everything else as it is, and write one more kind of file (`FILES`).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from dagster_project.config.source import Source
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.runs.locking import source_lock
from dagster_project.warehouse import MEMORY, connect, literal

# The files a simulated source reads, by canonical table.
FILES = {"transactions": "sales-*.parquet", "customers": "customers-*.parquet"}

PARETO_NBD, BG_NBD = "pareto_nbd", "bg_nbd"

# Lines of a basket are 1 to 7, each as likely: 4 on average. Lines and baskets are numbered within
# fixed blocks, so that one number names them: `basket * LINE_BLOCK + line`.
MAXIMUM_LINES = 7
MEAN_LINES = (1 + MAXIMUM_LINES) / 2
LINE_BLOCK = 10
BASKET_BLOCK = 10_000
RETURN_SHARE = 0.03
RETURN_DAYS = 14
# Acquisition grows: at the end of the period so many times as many a day as at its start.
ACQUISITION_GROWTH = 2.0
# Natural logarithms' standard deviations of what customers, baskets and lines are worth.
CUSTOMER_SPREAD = 0.6
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

# Bounds memory: so many customers are drawn at once.
BATCH_CUSTOMERS = 1_000_000


@dataclass(frozen=True)
class Profile:
    """What is normal in an industry.

    Attributes:
        purchase_shape: Shape of the gamma distribution of the purchase rates, a multiple of 1/2;
            the smaller, the more the customers differ.
        purchase_days: Days between purchases at the mean purchase rate. A third of the days after
            which the industry takes a silent customer for lost.
        lifetime_shape: Shape of the gamma distribution of the drop-out rates, a multiple of 1/2.
        lifetime_days: Its scale: a lifetime exceeds t days with probability
            (lifetime_days / (lifetime_days + t)) ** lifetime_shape.
        dropout_leave: First parameter of the beta distribution of the drop-out probabilities, a
            multiple of 1/2; dropout_leave / (dropout_leave + dropout_stay) of the customers leave
            after their first repeat purchase.
        dropout_stay: Second parameter, a multiple of 1/2.
        order_value: Mean value of a basket over the customers.
        season: How busy each month of the year is, January first; only the relation counts.
        categories: Names of the product groups.
    """

    purchase_days: float
    order_value: float
    season: tuple[int, ...]
    categories: tuple[str, ...]
    purchase_shape: float = 1.5
    lifetime_shape: float = 1.5
    lifetime_days: float = 60
    dropout_leave: float = 1.0
    dropout_stay: float = 3.0


EVEN_SEASON = (95, 93, 98, 100, 102, 101, 97, 96, 101, 102, 105, 110)
GENERAL = Profile(
    purchase_days=61,
    order_value=60,
    season=EVEN_SEASON,
    categories=("basic", "standard", "premium", "service", "spare parts"),
    lifetime_days=200,
)
PROFILES = {
    "restaurant": Profile(
        purchase_days=10,
        order_value=45,
        season=(85, 90, 95, 100, 110, 115, 115, 110, 100, 95, 90, 105),
        categories=("starters", "mains", "desserts", "drinks", "menus"),
        lifetime_days=25,
        dropout_stay=2.0,
    ),
    "grocery": Profile(
        purchase_days=30,
        order_value=40,
        season=(95, 90, 98, 102, 98, 96, 90, 92, 100, 100, 108, 131),
        categories=("produce", "dairy", "bakery", "meat", "drinks", "pantry", "household"),
        lifetime_days=100,
    ),
    "fast_moving_goods": Profile(
        purchase_days=30,
        order_value=35,
        season=EVEN_SEASON,
        categories=("care", "cleaning", "snacks", "drinks", "pets", "baby"),
        lifetime_days=100,
    ),
    "dentist": Profile(
        purchase_days=61,
        order_value=140,
        season=(105, 105, 110, 100, 100, 95, 80, 75, 100, 110, 115, 105),
        categories=("check-up", "cleaning", "filling", "prosthesis", "whitening"),
        purchase_shape=2.5,
        lifetime_days=300,
    ),
    "mobile_app": Profile(
        purchase_days=70,
        order_value=12,
        season=EVEN_SEASON,
        categories=("subscription", "credits", "upgrade", "gift"),
        lifetime_days=200,
    ),
    "durables": Profile(
        purchase_days=121,
        order_value=420,
        season=(90, 85, 95, 100, 100, 95, 90, 90, 95, 100, 125, 135),
        categories=("kitchen", "laundry", "audio", "furniture", "garden", "accessories"),
        lifetime_days=600,
    ),
}


@dataclass(frozen=True)
class Business:
    """What was written."""

    customer_count: int
    line_count: int
    return_count: int
    truth: Path


def profile_of(source: Source) -> Profile:
    """Return what is normal in the source's industry, or in general if nothing is known of it."""
    return PROFILES.get(source.industry, GENERAL)


def simulate(
    source: Source,
    paths: SourcePaths,
    *,
    lines: int,
    seed: int,
    say: Callable[[str], None],
    threads: int | None = None,
) -> Business:
    """Write the business of a source into its landing folder, in place of what is there.

    The number of lines is met but for a basket and the chance of returns. All files appear
    together, or none.

    Args:
        source: Gives the days, the industry and the files' names.
        paths: Where the source lies.
        lines: Lines of transactions to write, returns included.
        seed: Another seed is another business.
        say: Told about progress.
        threads: Of DuckDB; the result does not depend on it.

    Raises:
        ConfigurationError: the source is not one that can be simulated.
        WinbackError: the landing folder holds files that were not simulated.
    """
    _check_can_be_simulated(source, lines)
    with source_lock(paths, say):
        _check_holds_simulated_only(paths)
        with _replacing(paths) as (landing, truth), connect(paths, MEMORY) as connection:
            if threads:
                connection.execute(f"set threads = {threads}")
            _define_draws(connection, seed)
            _draw_customers(connection, source, lines)
            (customer_count,) = connection.execute("select count(*) from customers").fetchone()
            say(f"{customer_count:,} customers drawn; writing what they bought.")
            line_count = sum(
                _write_month(connection, source, month, landing) for month in _months(source)
            )
            _write_customers(connection, source, landing)
            _write_truth(connection, source, truth)
            (bought_count,) = connection.execute("select sum(line_count) from baskets").fetchone()
    return Business(customer_count, line_count, line_count - bought_count, paths.simulated_truth)


def _check_can_be_simulated(source: Source, lines: int) -> None:
    if lines < 1:
        raise ConfigurationError(f"--lines {lines}: give a number of lines of at least 1.")
    if source.last_day is None:
        raise ConfigurationError(
            f"{source.place('kind')}: a simulated business has a last day; set kind: finished and "
            "last_day."
        )
    for table, declared in source.tables.items():
        if declared.files != (FILES.get(table),):
            raise ConfigurationError(
                f"{source.place('tables', table)}: {source.name} is not a simulated source. What "
                f"simulate writes is read as {' and '.join(FILES.values())}; copy "
                "data/sources/simulated.yml for a simulated business of your own."
            )


def _check_holds_simulated_only(paths: SourcePaths) -> None:
    """Refuse to replace a folder into which somebody has put files of another origin."""
    for file in sorted(paths.landing.rglob("*")):
        if not any(fnmatch(file.name, pattern) for pattern in FILES.values()):
            raise WinbackError(
                f"{paths.landing} holds {file.relative_to(paths.landing)}, which was not "
                "simulated. Move it away: simulate replaces everything there."
            )


@contextmanager
def _replacing(paths: SourcePaths) -> Iterator[tuple[Path, Path]]:
    """Give a new landing folder and truth file to write to; switch both in if all went well.

    The truth goes first and comes last, so it never stands beside files of another business.
    """
    # The landing folder may be a link to a larger disk.
    landing, truth = paths.landing.resolve(), paths.simulated_truth
    new, old = (landing.with_name(f".{landing.name}.{mark}") for mark in ("new", "old"))
    new_truth = truth.with_name(f".{truth.name}.new")

    def clear() -> None:
        if old.exists() and not landing.exists():
            # Stopped between the two renames.
            old.rename(landing)
        _remove(new, old, new_truth)

    # What a killed simulation could not clear.
    clear()
    try:
        new.mkdir(parents=True)
        truth.parent.mkdir(parents=True, exist_ok=True)
        yield new, new_truth
        truth.unlink(missing_ok=True)
        if landing.exists():
            landing.rename(old)
        new.rename(landing)
        new_truth.rename(truth)
    finally:
        clear()


def _remove(*leftovers: Path) -> None:
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _define_draws(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
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


def _draw_customers(connection: duckdb.DuckDBPyConnection, source: Source, lines: int) -> None:
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
                        < {shares}[month({_day("bought_at", source)})] as is_made
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
            {_day("bought_at", source)},
            1 + floor(chance('lines', customer, number) * {MAXIMUM_LINES})::integer,
            is_last
        from purchases
        where is_made
    """


def _write_month(
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


def _write_customers(connection: duckdb.DuckDBPyConnection, source: Source, landing: Path) -> None:
    """Write the firm's own records of its customers, a file for each year of sign-up."""
    for year in range(source.first_day.year, source.last_day.year + 1):
        select = f"""
            with signed_up as (
                select
                    customer,
                    greatest(
                        {_day("acquired_at", source)}
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


def _write_truth(connection: duckdb.DuckDBPyConnection, source: Source, file: Path) -> None:
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
            {_day("acquired_at", source)} as acquired_on,
            coalesce({_day("dropped_out_at", source)}, ordered_on) as dropped_out_on,
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


def _months(source: Source) -> list[date]:
    """Return the first days of the months of the source's period."""
    months = [source.first_day.replace(day=1)]
    while (following := (months[-1] + timedelta(days=31)).replace(day=1)) <= source.last_day:
        months.append(following)
    return months


def _day_count(source: Source) -> int:
    return (source.last_day - source.first_day).days + 1


def _day(moment: str, source: Source) -> str:
    """Return SQL for the business date of a moment in days since the start of the first day."""
    return f"(date '{source.first_day}' + floor({moment})::integer)"
