"""The simulated business: the same whatever the threads, of the asked size, true to its models."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.cli import main
from dagster_project.config.sources import Source, load_source
from dagster_project.loading import loader
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.simulation import draws, simulation
from dagster_project.simulation.draws import BG_NBD, PARETO_NBD
from dagster_project.simulation.profiles import GENERAL, PROFILES, Profile, profile_of
from dagster_project.simulation.simulation import Business

LAST_DAY = date(2025, 12, 31)
GROCERY = PROFILES["grocery"]


def simulate(data_dir: Path, lines: int, seed: int = 1, **options: Any) -> Business:
    paths = SourcePaths(data_dir, options.pop("source", "simulated"))
    return simulation.simulate(
        load_source(paths), paths, lines=lines, seed=seed, say=lambda text: None, **options
    )


def everything(data_dir: Path) -> dict[str, bytes]:
    """Return every file that a simulation may have written, the hidden ones too."""
    folders = (data_dir / "landing", data_dir / "simulated_truth")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(data_dir).as_posix(): file.read_bytes() for file in sorted(files)}


def content(data_dir: Path) -> dict[str, list[tuple]]:
    """Return the rows of every written file, in their order."""
    with duckdb.connect() as connection:
        return {
            name: connection.execute(f"from '{data_dir / name}'").fetchall()
            for name in everything(data_dir)
        }


class Look:
    """Answers questions about a simulated business in plain SQL."""

    def __init__(self, data_dir: Path) -> None:
        self.connection = duckdb.connect()
        landing = SourcePaths(data_dir, "simulated").landing
        self.connection.execute(f"""
            create view lines as from '{landing}/sales-*.parquet';
            create view members as from '{landing}/customers-*.parquet';
            create view truth as from '{data_dir}/simulated_truth/simulated.parquet';
            create table baskets as
                select distinct transaction_id, customer_id, ordered_at::date as ordered_on
                from lines where amount >= 0;
            create table buyers as
                select
                    customer_id, count(*) - 1 as repeat_count, min(ordered_on) as first_on,
                    max(ordered_on) as last_on
                from baskets group by customer_id;
        """)

    def one(self, select: str) -> Any:
        """Return the only value of a query."""
        return self.connection.execute(select).fetchone()[0]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    data_dir = tmp_path_factory.mktemp("business")
    simulate(data_dir, 600_000)
    return Look(data_dir)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    before = dict(os.environ)

    def run(data_dir: Path, *arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main.main(["simulate", "--data-dir", str(data_dir), *arguments])
        except SystemExit as end:
            code = end.code
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield run
    os.environ.clear()
    os.environ.update(before)


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


# Size and content


@pytest.mark.parametrize("lines", [1, 300, 5_000, 250_000])
def test_as_many_lines_as_asked_for(lines: int, tmp_path: Path) -> None:
    business = simulate(tmp_path, lines)
    written = Look(tmp_path).one("select count(*) from lines")
    assert written == business.line_count
    assert written == pytest.approx(lines, rel=0.05, abs=20)


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


def test_every_line_is_loaded_and_every_customer_known(tmp_path: Path) -> None:
    business = simulate(tmp_path, 5_000)
    paths = SourcePaths(tmp_path, "simulated")
    source = load_source(paths)
    with duckdb.connect() as connection:
        loader.prepare_raw(connection)
        for table in source.tables:
            loader.load_table(connection, source, paths, table, batch_id="b1")
        assert connection.execute(
            "select count(*), count(*) filter (line_type = 'return'), count(distinct customer_id) "
            "from raw.transactions where ordered_on between ? and ?",
            [source.first_day, source.last_day],
        ).fetchone() == (business.line_count, business.return_count, business.customer_count)
        assert connection.execute(
            "select count(*) from raw.customers semi join raw.transactions using (customer_id)"
        ).fetchone() == (business.customer_count,)
        assert connection.execute("select count(*) from raw.rejected_rows").fetchone() == (0,)


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


# Industries


def configure(data_dir: Path, industry: str) -> Source:
    """Write the file of a simulated business in another industry, named like it."""
    written = (PROJECT_DIR / "data" / "sources" / "simulated.yml").read_text()
    assert "industry: grocery" in written
    file = data_dir / "sources" / f"{industry}.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(written.replace("industry: grocery", f"industry: {industry}"))
    return load_source(SourcePaths(data_dir, industry))


@pytest.mark.parametrize(("industry", "threshold"), [("restaurant", 30), ("durables", 365)])
def test_few_gaps_are_longer_than_the_threshold(
    industry: str, threshold: int, tmp_path: Path
) -> None:
    configure(tmp_path, industry)
    simulate(tmp_path, 60_000, source=industry)
    longer = duckdb.execute(f"""
        with days as (
            select distinct customer_id, ordered_at::date as day
            from '{tmp_path}/landing/{industry}/sales-*.parquet' where amount >= 0
        ),
        gaps as (
            select lead(day) over (partition by customer_id order by day) - day as gap from days
        )
        select avg((gap > {threshold})::integer) from gaps
    """).fetchone()[0]
    assert 0.01 < longer < 0.15


def test_an_industry_without_a_profile_is_simulated_in_general(tmp_path: Path) -> None:
    source = configure(tmp_path, "wholesale")
    assert profile_of(source) is GENERAL
    assert simulate(tmp_path, 500, source="wholesale").customer_count > 0


@pytest.mark.parametrize("profile", [*PROFILES.values(), GENERAL])
def test_profiles_can_be_drawn(profile: Profile) -> None:
    assert len(profile.season) == 12
    shapes = (
        profile.purchase_shape,
        profile.lifetime_shape,
        profile.dropout_leave,
        profile.dropout_stay,
    )
    assert all(shape > 0 and shape * 2 % 1 == 0 for shape in shapes)


# Replacing a former business


def test_running_again_replaces_everything(tmp_path: Path) -> None:
    simulate(tmp_path / "once", 5_000, seed=2)
    simulate(tmp_path / "twice", 20_000, seed=1)
    simulate(tmp_path / "twice", 5_000, seed=2)
    assert everything(tmp_path / "once") == everything(tmp_path / "twice")


def test_a_landing_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "elsewhere").mkdir()
    landing = tmp_path / "landing" / "simulated"
    landing.symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        simulate(tmp_path, 500)
        assert landing.is_symlink()
        assert list(landing.glob("sales-*.parquet"))
    assert {file.name for file in tmp_path.iterdir() if file.name.startswith(".")} == set()


@pytest.mark.parametrize("has_former", [False, True])
@pytest.mark.parametrize("step", ["draw_customers", "write_customers", "write_truth"])
def test_nothing_is_left_of_a_simulation_that_dies(
    step: str, has_former: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_former:
        simulate(tmp_path, 500)
    before = everything(tmp_path)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, step, die)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, 1_000)
    assert everything(tmp_path) == before
    assert not list((tmp_path / "landing").glob(".*"))


@pytest.mark.parametrize("stopped_at", ["simulated", ".simulated.new"])
def test_a_failed_rename_gives_the_former_business_back(
    stopped_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path, 500)
    before = everything(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == stopped_at:
            raise OSError("no")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(OSError, match="no"):
            simulate(tmp_path, 1_000)
    left = everything(tmp_path)
    # Without its truth, which may have been replaced already, but never with another one's.
    assert left == {name: rows for name, rows in before.items() if "truth" not in name}


def test_a_killed_simulation_is_cleared_by_the_next_one(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("winback")
    command = [program, "simulate", "--lines", "3000000", "--data-dir", tmp_path]
    unfinished = tmp_path / "landing" / ".simulated.new"
    with subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL) as process:
        while not list(unfinished.glob("*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "landing" / "simulated").exists()
    assert not (tmp_path / "simulated_truth" / "simulated.parquet").exists()
    simulate(tmp_path, 500)
    simulate(tmp_path / "fresh", 500)
    assert everything(tmp_path / "fresh") == everything(tmp_path)


# The command


def test_the_command_tells_what_it_wrote(tmp_path: Path, run_cli: Any) -> None:
    code, output, _ = run_cli(tmp_path, "--lines", "2000", "--seed", "5")
    assert code == 0
    assert "customers from 2023-01-01 to 2025-12-31" in output
    assert str(tmp_path / "simulated_truth" / "simulated.parquet") in output
    assert "winback run --source simulated" in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "simulatet"], "Did you mean simulated?"),
        (["--source", "completejourney"], "completejourney is not a simulated source"),
        (["--lines", "0"], "--lines 0: give a number of lines of at least 1."),
        (["--lines", "many"], "--lines"),
        (["--seed", "none"], "--seed"),
    ],
)
def test_bad_usage(arguments: list[str], expected: str, tmp_path: Path, run_cli: Any) -> None:
    code, _, message = run_cli(tmp_path, *arguments)
    assert code == 2
    assert expected in message
    assert not list(tmp_path.iterdir())


def test_files_of_another_origin_are_not_replaced(tmp_path: Path, run_cli: Any) -> None:
    simulate(tmp_path, 500)
    (tmp_path / "landing" / "simulated" / "orders.csv").write_text("id\n")
    before = everything(tmp_path)
    code, _, message = run_cli(tmp_path, "--lines", "500")
    assert code == 1
    assert "holds orders.csv, which was not simulated" in message
    assert everything(tmp_path) == before
