"""Draws and the lines they leave: the same whatever the threads, true to their models.

Both are looked at in one large business, which takes seconds to make.
"""

from datetime import date
from pathlib import Path

import pytest
from support.simulated import Look, content, simulate

from dagster_project.simulation import draws
from dagster_project.simulation.draws import BG_NBD, PARETO_NBD
from dagster_project.simulation.profiles import PROFILES

LAST_DAY = date(2025, 12, 31)
GROCERY = PROFILES["grocery"]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    data_dir = tmp_path_factory.mktemp("business")
    simulate(data_dir, 600_000)
    return Look(data_dir)


# The same input gives the same output


def test_the_same_on_one_thread_and_on_four(tmp_path: Path) -> None:
    for threads in (1, 4):
        simulate(tmp_path / str(threads), 60_000, threads=threads)
    one, four = content(tmp_path / "1"), content(tmp_path / "4")
    assert one == four
    # 36 months, three years of customers and the truth.
    assert len(one) == 40


def test_the_same_however_many_customers_are_drawn_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path / "many", 20_000)
    monkeypatch.setattr(draws, "BATCH_CUSTOMERS", 37)
    simulate(tmp_path / "few", 20_000)
    assert content(tmp_path / "many") == content(tmp_path / "few")


def test_another_seed_is_another_business(tmp_path: Path) -> None:
    simulate(tmp_path, 20_000, seed=1)
    first = Look(tmp_path)
    lines = set(first.connection.execute("select ordered_at, amount from lines").fetchall())
    truth = "select purchase_rate, dropout_rate, dropout_probability from truth order by all"
    rates = set(first.connection.execute(truth).fetchall())
    simulate(tmp_path, 20_000, seed=2)
    second = Look(tmp_path)
    assert not rates & set(second.connection.execute(truth).fetchall())
    # A few prices at a second of the day coincide by chance.
    others = second.connection.execute("select ordered_at, amount from lines").fetchall()
    assert len(lines & set(others)) < 5


def test_a_larger_business_holds_the_smaller_one(tmp_path: Path) -> None:
    simulate(tmp_path / "small", 5_000)
    simulate(tmp_path / "large", 20_000)
    small, large = content(tmp_path / "small"), content(tmp_path / "large")
    for name, rows in small.items():
        assert set(rows) <= set(large[name]), name


# Content


def test_baskets_and_returns(look: Look) -> None:
    line_count = look.one("select count(*) from lines where amount >= 0")
    assert line_count / look.one("select count(*) from baskets") == pytest.approx(4, rel=0.01)
    returned = look.one("select count(*) from lines where amount < 0")
    assert returned / line_count == pytest.approx(0.03, rel=0.05)
    unmatched = """
        select count(*) from lines as returned
        where amount < 0 and not exists (
            from lines as bought
            where
                bought.customer_id = returned.customer_id
                and bought.product_id = returned.product_id
                and bought.amount = -returned.amount
                and bought.quantity = -returned.quantity
                and bought.store_id is not distinct from returned.store_id
                and returned.ordered_at::date - bought.ordered_at::date between 1 and 14
        )
    """
    assert look.one(unmatched) == 0


def test_values_spread_around_each_customers_own_mean(look: Look) -> None:
    mean = look.one("select avg(mean_order_value)::double from truth")
    assert mean == pytest.approx(GROCERY.order_value, rel=0.02)
    ratio = """
        select sum(amount)::double / sum(mean_order_value)::double
        from (
            select transaction_id, customer_id, sum(amount) as amount
            from lines where amount >= 0 group by all
        ) inner join truth using (customer_id)
    """
    assert look.one(ratio) == pytest.approx(1, rel=0.02)


def test_more_customers_come_every_year(look: Look) -> None:
    years = look.connection.execute(
        "select count(*) from truth group by year(acquired_on) order by year(acquired_on)"
    ).fetchall()
    # 2 ** (i / 3) - 1 of the customers are there after i of the 3 years.
    shares = [count / sum(n for (n,) in years) for (count,) in years]
    assert shares == pytest.approx([0.260, 0.327, 0.413], abs=0.01)


def test_december_is_busy(look: Look) -> None:
    december, november = (
        look.one(f"select count(*) from baskets where date_trunc('month', ordered_on) = '{month}'")
        for month in ("2025-12-01", "2025-11-01")
    )
    assert december / november == pytest.approx(131 / 108 * 31 / 30, rel=0.06)


# The truth


def test_nobody_buys_before_being_acquired_or_after_dropping_out(look: Look) -> None:
    customers = look.one("select count(*) from truth")
    assert customers == look.one("select count(*) from buyers semi join truth using (customer_id)")
    assert customers == look.one("select count(*) from members semi join truth using (customer_id)")
    assert look.one(
        "select bool_and(first_on = acquired_on and last_on <= coalesce(dropped_out_on, last_on)) "
        "from buyers inner join truth using (customer_id)"
    )
    assert look.one(
        "select bool_and(signed_up_at::date <= acquired_on) "
        "from members inner join truth using (customer_id)"
    )


def test_half_of_the_customers_by_each_model_with_its_own_parameter(look: Look) -> None:
    rows = look.connection.execute(
        "select process, count(*), count(dropout_rate), count(dropout_probability) "
        "from truth group by process"
    ).fetchall()
    counts = {process: numbers for process, *numbers in rows}
    assert counts[PARETO_NBD][0] == pytest.approx(counts[BG_NBD][0], abs=1)
    assert counts[PARETO_NBD][1:] == [counts[PARETO_NBD][0], 0]
    assert counts[BG_NBD][1:] == [0, counts[BG_NBD][0]]


def test_purchase_rates_are_gamma_distributed(look: Look) -> None:
    mean, variance = look.connection.execute(
        "select avg(purchase_rate), var_samp(purchase_rate) from truth"
    ).fetchone()
    assert mean == pytest.approx(1 / 30, rel=0.02)
    assert mean**2 / variance == pytest.approx(1.5, rel=0.05)
    # A gamma distribution of shape 3/2 lies below its mean with probability 0.608.
    below = look.one("select avg((purchase_rate < 1 / 30)::integer) from truth")
    assert below == pytest.approx(0.608, abs=0.01)


def test_customers_buy_at_their_rates(look: Look) -> None:
    expected = f"""
        select sum(
            purchase_rate * (coalesce(dropped_out_on, date '{LAST_DAY}') - acquired_on)
        ) from truth where process = '{PARETO_NBD}'
    """
    made = f"""
        select sum(repeat_count) from buyers inner join truth using (customer_id)
        where process = '{PARETO_NBD}'
    """
    assert look.one(made) / look.one(expected) == pytest.approx(1, rel=0.03)


def test_lifetimes_of_pareto_nbd(look: Look) -> None:
    # (100 / (100 + t)) ** 1.5 of the customers live longer than t days.
    for days, share in ((30, 0.675), (100, 0.354), (300, 0.125)):
        longer = look.one(f"""
            select avg((dropped_out_on is null or dropped_out_on - acquired_on > {days})::integer)
            from truth
            where process = '{PARETO_NBD}' and acquired_on < date '{LAST_DAY}' - 365
        """)
        assert longer == pytest.approx(share, abs=0.015)


def test_share_of_pareto_nbd_alive_at_the_end(look: Look) -> None:
    alive = look.one(
        f"select avg((dropped_out_on is null)::integer) from truth where process = '{PARETO_NBD}'"
    )
    # Of each customer by the time since the acquisition, in plain Python.
    days = look.connection.execute(
        f"select date '{LAST_DAY}' - acquired_on + 0.5 from truth where process = '{PARETO_NBD}'"
    ).fetchall()
    chances = [(100 / (100 + float(t))) ** 1.5 for (t,) in days]
    assert alive == pytest.approx(sum(chances) / len(chances), abs=0.01)


def test_coins_of_bg_nbd(look: Look) -> None:
    joined = f"buyers inner join truth using (customer_id) where process = '{BG_NBD}'"
    # Leave weighs 1, stay 3: after the n-th repeat purchase 1 / (3 + n) of those who made it leave.
    for number, share in ((1, 1 / 4), (2, 1 / 5), (3, 1 / 6)):
        left = look.one(f"""
            select avg((repeat_count = {number} and dropped_out_on is not null)::integer)
            from {joined} and repeat_count >= {number}
        """)
        assert left == pytest.approx(share, abs=0.015)
    # They leave after a purchase, which is their last; never after the first one.
    assert look.one(f"select bool_and(dropped_out_on = last_on) from {joined}")
    assert look.one(
        f"select bool_and(repeat_count > 0) from {joined} and dropped_out_on is not null"
    )
