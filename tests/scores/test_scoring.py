"""What publishes, and the scores of every buyer, on histories drawn from known processes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from dagster_project.scores import customer_base, quality, score_choice, scoring
from dagster_project.scores.customer_base import Fit, Limits
from dagster_project.scores.quality import EMPIRICAL_TABLE, HIATUS_RULE, Forecast, Snapshot
from dagster_project.scores.score_choice import Backtest, Choice, CurrentFits

AS_OF = date(2024, 12, 31)
HORIZONS, STEPS = (30, 90, 365), (1, 2, 3)
# Near those of the CDNOW sample, in weeks.
MBG = (0.525, 6.183, 0.891, 1.614)
ORDER_VALUES = (6.25, 3.74, 15.44)


def snapshot(count: int = 600, returned: float = 0.3) -> Snapshot:
    rng = np.random.default_rng(2)
    return Snapshot(
        repeat_count=rng.integers(0, 4, count),
        days_to_last=np.zeros(count, int),
        days_observed=rng.integers(1, 300, count),
        value_at_stake=rng.random(count),
        group_number=rng.integers(0, 500, count),
        last_period_count=rng.integers(0, 2, count),
        next_period_count=(rng.random(count) < returned).astype(int),
    )


def forecast(customers: Snapshot, sharpness: float) -> Forecast:
    """Return a forecast that is right by so much: 0 says the rate of all, 1 the outcome."""
    returned = customers.next_period_count.astype(float)
    chance = sharpness * returned + (1 - sharpness) * returned.mean()
    return Forecast(chance, chance)


def fitted(model: str, log_likelihood: float, reason: str | None = None) -> Fit:
    names = customer_base.MODELS[model].names
    parameters = dict.fromkeys(names, 1.0)
    return Fit(model, parameters, log_likelihood, 600, np.eye(len(names)), reason)


def contest(
    earlier: dict[str, float], last: dict[str, float], fits: dict[str, Fit] | None = None
) -> dict[tuple[int, int], Backtest]:
    """Return tests in which each forecast is as sharp as given."""
    tests = {}
    for step, sharpness in ((1, last), (2, earlier)):
        customers = snapshot()
        forecasts = {name: forecast(customers, sharp) for name, sharp in sharpness.items()}
        forecasts = {
            "nobody_returns": quality.nobody_returns(customers),
            "last_period_repeats": quality.last_period_repeats(customers),
        } | forecasts
        cutoff = AS_OF - timedelta(days=90 * step)
        tests[90, step] = Backtest(90, cutoff, customers, fits or {}, forecasts, None)
    return tests


FITS = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -990)}


def test_the_best_of_the_earlier_cutoff_publishes_if_it_beats_the_plain_rule() -> None:
    sharp = {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.3, "mbg_nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, FITS), "return_probability_90d", "brier")
    assert (choice.winner, choice.published) == (EMPIRICAL_TABLE, EMPIRICAL_TABLE)
    assert "as of 2024-07-04" in choice.reason
    assert "as of 2024-10-02" in choice.reason


def test_the_last_cutoff_judges_and_does_not_choose() -> None:
    # mbg_nbd would have been better in the end; looking twice would have chosen it.
    choice = score_choice.choose(
        contest(
            {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.3, "mbg_nbd": 0.2},
            {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.15, "mbg_nbd": 0.9},
            FITS,
        ),
        "return_probability_90d",
        "brier",
    )
    assert choice.winner == EMPIRICAL_TABLE


def test_the_plain_rule_publishes_where_the_winner_is_not_better_beyond_chance() -> None:
    choice = score_choice.choose(
        contest({HIATUS_RULE: 0.1, "mbg_nbd": 0.3}, {HIATUS_RULE: 0.2, "mbg_nbd": 0.1}, FITS),
        "expected_purchases",
        "rmse",
    )
    assert (choice.winner, choice.published) == ("mbg_nbd", HIATUS_RULE)
    assert "not better beyond chance" in choice.reason


def test_a_rule_that_learns_nothing_and_does_better_is_named() -> None:
    earlier = {HIATUS_RULE: 0.1, "mbg_nbd": 0.3}
    choice = score_choice.choose(
        contest(earlier, earlier | {"last_period_repeats": 1.0}, FITS),
        "expected_purchases",
        "rmse",
    )
    assert choice.published == "mbg_nbd"
    assert choice.reason.endswith("last_period_repeats would have had 0.0000")


def test_a_tie_is_not_worse_and_publishes() -> None:
    sharp = {HIATUS_RULE: 0.2, "nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, FITS), "expected_purchases", "rmse")
    assert choice.published == "nbd"


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (fitted("mbg_nbd", -997.1), "drop-out is not identified: twice the gain"),
        (fitted("mbg_nbd", -900, "the fit did not converge"), "the fit did not converge"),
    ],
)
def test_a_model_that_does_not_hold_is_no_candidate(fit: Fit, words: str) -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fit}
    assert words in score_choice.refusal("mbg_nbd", fits)
    sharp = {HIATUS_RULE: 0.1, "mbg_nbd": 0.9, "nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, fits), "expected_purchases", "rmse")
    assert choice.winner == "nbd"


def test_six_is_enough_for_drop_out_to_be_identified() -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -997)}
    assert score_choice.refusal("mbg_nbd", fits) is None


def test_a_winner_that_does_not_hold_today_publishes_nothing() -> None:
    sharp = {HIATUS_RULE: 0.1, "mbg_nbd": 0.3}
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -997.1)}
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(
        snapshot(), np.ones(600), fits | {"pareto_nbd": fits["mbg_nbd"]}, order_values, None
    )
    choice = score_choice.make_choices(contest(sharp, sharp, FITS), today)["expected_purchases"]
    assert (choice.winner, choice.published) == ("mbg_nbd", None)
    assert choice.reason.startswith("today: drop-out is not identified")


def past(counts: dict[int, int]) -> dict[tuple[int, int], tuple[date, Snapshot]]:
    """Return three cutoffs a horizon, after whose k-th everybody bought k times so many days."""
    return {
        (horizon, step): (
            AS_OF - timedelta(days=horizon * step),
            replace(snapshot(), next_period_count=np.full(600, count * step)),
        )
        for horizon, count in counts.items()
        for step in STEPS
    }


def test_rules_know_as_of_a_cutoff_only_what_followed_the_one_before() -> None:
    tests = score_choice.make_tests(past({30: 10, 90: 1}), Limits(buyers=1000))
    assert tests.keys() == {(30, 1), (30, 2), (90, 1), (90, 2)}
    for (horizon, step), test in tests.items():
        counts = {30: 10, 90: 1}[horizon] * (step + 1)
        for rule in (HIATUS_RULE, EMPIRICAL_TABLE):
            assert test.forecasts[rule].purchase_count == pytest.approx(counts)


@pytest.mark.parametrize("publisher", [HIATUS_RULE, EMPIRICAL_TABLE])
def test_published_rules_learn_from_what_followed_the_last_cutoff(publisher: str) -> None:
    tests = score_choice.make_tests(past({30: 10, 90: 1}), Limits(buyers=1000))
    today = CurrentFits.fit(snapshot(), np.ones(600), Limits(buyers=1000))
    choices = {name: Choice(None, None, "") for name in score_choice.CANDIDATES}
    choices["expected_purchases"] = Choice("nbd", HIATUS_RULE, "")
    choices["return_probability_90d"] = Choice(publisher, publisher, "")
    settings = scoring.Settings(AS_OF, Limits(), 0.10)
    scorer = scoring.make_scorer(settings, 0.25, tests, today, choices)
    assert scorer.return_forecast.counts == pytest.approx(1)
    assert {days: rule.counts.tolist() for days, rule in scorer.count_rules.items()} == {
        30: pytest.approx([10, 10]),
        90: pytest.approx([1, 1]),
    }


def test_tiers_of_the_published_table_are_those_of_all_customers_in_every_batch() -> None:
    customers = snapshot()
    table = quality.EmpiricalTable.learn(customers)
    scorer = scoring.Scorer(
        scoring.Settings(AS_OF, Limits(), 0.10),
        0.25,
        return_forecast=table,
        tier_bounds=quality.tier_bounds(customers.value_at_stake),
    )
    poor = customers.value_at_stake < np.median(customers.value_at_stake)
    batch = Snapshot(
        **{name: getattr(customers, name)[poor] for name in Snapshot.__dataclass_fields__}
    )
    score = "return_probability_90d"
    every = scorer.scores(customers, np.ones(len(customers)))[score]
    assert scorer.scores(batch, np.ones(len(batch)))[score].tolist() == every[poor].tolist()
    assert table.forecast(batch).return_probability.tolist() != every[poor].tolist()


def test_without_a_cutoff_nothing_is_published() -> None:
    choice = score_choice.choose({}, "expected_purchases", "rmse")
    assert choice.published is None
    assert "too little data" in choice.reason


def told_returns(**sharpness: float) -> dict[tuple[int, int], Backtest]:
    """Return tests in which the models told well who returns, but for those given."""
    sharp = {HIATUS_RULE: 0.2} | dict.fromkeys(customer_base.MODELS, 0.5) | sharpness
    return contest(sharp, sharp)


def test_a_model_that_does_not_know_who_returns_does_not_know_who_has_left() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)

    def choice(tests: dict[tuple[int, int], Backtest]) -> Choice:
        return score_choice.make_choices(tests, today)["probability_alive"]

    assert choice(told_returns(pareto_nbd=0.1)).published == "mbg_nbd"
    neither = choice(told_returns(pareto_nbd=0.1, mbg_nbd=0.1))
    assert neither.published is None
    assert "pareto_nbd did not tell better than the plain rule who returns" in neither.reason
    assert "too little data" in choice({}).reason


def test_the_chance_to_be_alive_never_comes_from_bg_nbd() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "bg_nbd": fitted("bg_nbd", -500),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)
    choices = score_choice.make_choices(told_returns(), today)
    assert choices["probability_alive"].published == "pareto_nbd"
    assert "bg_nbd" not in score_choice.CANDIDATES["probability_alive"]


def test_the_likelier_model_gives_way_if_it_does_not_hold() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700, "the fit did not converge"),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)
    choice = score_choice.make_choices(told_returns(), today)["probability_alive"]
    assert choice.published == "mbg_nbd"
    assert choice.reason.endswith("mbg_nbd is the likeliest of what holds (mbg_nbd)")


def test_no_gain_is_zero_whatever_the_sign_of_its_noise() -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -1000 - 1e-9)}
    assert "over NBD is 0.0, below 6" in score_choice.refusal("mbg_nbd", fits)


def test_the_note_names_what_is_missing_and_what_the_plain_rule_leaves_out() -> None:
    model, rule, nothing = (
        Choice("mbg_nbd", published, "why") for published in ("mbg_nbd", HIATUS_RULE, None)
    )
    assert scoring._note({"expected_purchases": model, "return_probability_90d": rule}) is None
    note = scoring._note({"expected_purchases": rule, "probability_alive": nothing})
    assert note.startswith("no probability_alive: why; no lifetime_value_365d")


def test_ends_of_an_interval_leave_a_twentieth_on_either_side() -> None:
    draws = np.random.default_rng(1).permutation(np.arange(200))[None, :]
    assert scoring.interval(draws).tolist() == [[10], [189]]


# Whole warehouses


@dataclass(frozen=True)
class Customer:
    """A made-up buyer: purchase days with their sales."""

    customer_id: str
    purchases: tuple[tuple[date, float], ...]


def drawn(
    count: int, seed: int, days: int = 720, parameters: Sequence[float] = MBG
) -> Iterator[Customer]:
    """Draw customers of an MBG/NBD process, event by event, in whole days."""
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    p, q, gamma = ORDER_VALUES
    for number in range(count):
        day = AS_OF - timedelta(days=int(rng.integers(0, days)))
        rate, chance = rng.gamma(r, 1 / alpha), rng.beta(a, b)
        scale = rng.gamma(q, 1 / gamma)
        purchases, time = {}, 0.0
        while time * 7 < (AS_OF - day).days + 1:
            on = day + timedelta(days=math.floor(time * 7))
            purchases[on] = purchases.get(on, 0) + round(rng.gamma(p, 1 / scale), 2)
            if rng.random() < chance:
                break
            time += rng.exponential(1 / rate)
        yield Customer(f"C{number:06}", tuple(sorted(purchases.items())))


def write_warehouse(file: Path, customers: Sequence[Customer], as_of: date = AS_OF) -> None:
    """Write what the models would hand over, computed here from the purchases."""
    tests, histories, sales = [], [], 0.0
    for number, customer in enumerate(customers):
        days = [day for day, _ in customer.purchases]
        worth = sum(amount for _, amount in customer.purchases)
        sales += worth
        group = int(customer.customer_id[1:]) % 500
        for horizon in HORIZONS:
            for step in STEPS:
                cutoff = as_of - timedelta(days=horizon * step)
                known = [day for day in days if day <= cutoff]
                if not known:
                    continue
                since = cutoff - timedelta(days=horizon)
                until = cutoff + timedelta(days=horizon)
                tests.append(
                    (
                        horizon, step, cutoff, customer.customer_id, group, len(known) - 1,
                        (known[-1] - days[0]).days, (cutoff - days[0]).days, worth,
                        sum(since < day for day in known),
                        sum(cutoff < day <= until for day in days),
                    )
                )  # fmt: skip
        histories.append(
            (
                customer.customer_id, len(days) - 1, (days[-1] - days[0]).days,
                (as_of - days[0]).days, sum(amount for _, amount in customer.purchases[1:]),
                worth, days[0].replace(day=1), ("high", "low")[number % 2], "new", group,
            )
        )  # fmt: skip
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema intermediate")
        connection.execute(
            "create table intermediate.int_score_tests (horizon_days integer, step integer, "
            "cutoff_on date, customer_id varchar, group_number integer, repeat_count integer, "
            "days_to_last integer, days_observed integer, value_at_stake double, "
            "last_period_count integer, next_period_count integer)"
        )
        connection.execute(
            "create table intermediate.int_purchase_histories (customer_id varchar, "
            "repeat_count integer, days_to_last integer, days_observed integer, "
            "repeat_net_revenue decimal(18, 2), value_at_stake decimal(18, 2), "
            "acquisition_month date, value_tier varchar, lifecycle_stage varchar, "
            "group_number integer)"
        )
        connection.execute(
            "create table intermediate.int_customer_days as select $1::date as ordered_on, days.* "
            "from (values (1, $2::decimal(18, 2), $2::decimal(18, 2) / 4), "
            # What is returned on a day without a sale is no purchase day's revenue.
            "(0, -$2::decimal(18, 2) / 2, 0)) as days(sale_line_count, net_revenue, margin)",
            [as_of, sales],
        )
        for table, rows in (("int_score_tests", tests), ("int_purchase_histories", histories)):
            if rows:
                columns = zip(*rows, strict=True)
                arrow = pa.table({f"c{n}": list(column) for n, column in enumerate(columns)})
                connection.register("new_rows", arrow)
                connection.execute(f"insert into intermediate.{table} from new_rows")


def score(
    file: Path, customers: Sequence[Customer], limits: Limits | None = None, as_of: date = AS_OF
) -> tuple[dict[str, Choice], dict[str, list[dict]]]:
    """Return the choices and the rows of every table of scores."""
    write_warehouse(file, customers, as_of)
    with duckdb.connect(str(file)) as connection:
        settings = scoring.Settings(as_of, limits or Limits(), 0.10)
        choices = scoring.write_scores(connection, settings)
        tables = {}
        for table in scoring.TABLES:
            cursor = connection.execute(f"select * from scores.{table} order by all")
            names = [column[0] for column in cursor.description]
            tables[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return choices, tables


@pytest.fixture(scope="module")
def base() -> list[Customer]:
    return list(drawn(800, seed=5))


@pytest.fixture(scope="module")
def scored(
    base: list[Customer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Choice], dict[str, list[dict]]]:
    return score(tmp_path_factory.mktemp("scored") / "warehouse.duckdb", base)


def test_every_buyer_is_scored_and_what_is_published_is_complete(scored, base) -> None:
    choices, tables = scored
    assert all(choice.published for choice in choices.values()), choices
    rows = tables["customer_scores"]
    assert [row["customer_id"] for row in rows] == [customer.customer_id for customer in base]
    for row in rows:
        assert row["note"] is None
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        # A wait of more than ten years is no date; everything else is there for everybody.
        assert len(numbers) >= 9
        assert all(math.isfinite(value) for value in numbers.values())
        assert row["expected_purchases_30d"] <= row["expected_purchases_90d"]
        assert row["expected_purchases_90d"] <= row["expected_purchases_365d"]
        assert row["lifetime_value_365d_low"] <= row["lifetime_value_365d_high"]


def test_lifetime_value_is_purchases_by_value_by_margin_discounted(scored) -> None:
    # Within a quarter the exact discount hardly differs from that of its middle.
    for row in scored[1]["customer_scores"]:
        undiscounted = row["expected_purchases_365d"] * row["expected_order_value"] / 4
        assert undiscounted * 1.1**-1 <= row["lifetime_value_365d"] <= undiscounted * 1.1**-0.12


def test_a_cancelled_order_is_worth_nothing_and_not_less(base, tmp_path: Path) -> None:
    days = [AS_OF - timedelta(days=ago) for ago in (90, 60)]
    amounts = {"C900000": -500.0, "C900001": 0.0, "C900002": 500.0}
    cancelled = [
        Customer(name, tuple(zip(days, (10.0, amount), strict=True)))
        for name, amount in amounts.items()
    ]
    _, tables = score(tmp_path / "warehouse.duckdb", [*base, *cancelled])
    found = {row["customer_id"]: row["expected_order_value"] for row in tables["customer_scores"]}
    assert 0 < found["C900000"] == found["C900001"] < found["C900002"]


def test_totals_of_groups_are_sums_of_their_customers(scored, base) -> None:
    tables = scored[1]
    value = {row["customer_id"]: row["lifetime_value_365d"] for row in tables["customer_scores"]}
    totals = {(row["segment"], row["segment_value"]): row for row in tables["value_forecasts"]}
    assert totals["all", "all"]["customer_count"] == len(base)
    assert totals["all", "all"]["lifetime_value_365d"] == pytest.approx(sum(value.values()))
    high = [value[customer.customer_id] for customer in base[::2]]
    assert totals["value_tier", "high"]["customer_count"] == len(high)
    assert totals["value_tier", "high"]["lifetime_value_365d"] == pytest.approx(sum(high))
    # Not everybody is unlucky at once: the interval of all is narrower than the summed ones.
    summed = sum(
        row["lifetime_value_365d_high"] - row["lifetime_value_365d_low"]
        for row in tables["customer_scores"]
    )
    everybody = totals["all", "all"]
    width = everybody["lifetime_value_365d_high"] - everybody["lifetime_value_365d_low"]
    assert 0 < width < summed / 3


def test_draws_have_the_expected_value_as_their_mean(base) -> None:
    customers, mean_value = today_of(base)
    scorer = scorer_of(customers, mean_value)
    draws = scorer.draws(customers, mean_value, np.random.default_rng(3))
    expected = scorer.scores(customers, mean_value)["lifetime_value_365d"].sum()
    totals = draws.sum(axis=0)
    # Parameters scatter around the fit, so the mean of the draws is near the value at the fit.
    assert totals.mean() == pytest.approx(
        expected, abs=float(4 * totals.std() / math.sqrt(len(totals)))
    )


@pytest.mark.parametrize("model", ["mbg_nbd", "pareto_nbd"])
def test_odds_followed_along_their_slopes_are_those_computed_anew(model: str, base) -> None:
    customers, mean_value = today_of(base)
    scorer = scorer_of(customers, mean_value, model)
    history = score_choice.history_of(customers)
    odds, slopes = scorer._alive_odds(*history)
    fit = scorer.count_fit
    errors = []
    for parameters in fit.draws(50, np.random.default_rng(1)):
        exact = customer_base.MODELS[model].probability_alive(parameters, *history)
        followed = 1 / (1 + np.exp(-odds - np.log(parameters / fit.values) @ slopes))
        errors.append(abs(exact.mean() - followed.mean()))
    # In the draws furthest from the fit, which are few, odds do bend.
    assert np.percentile(errors, 90) < 0.01
    assert np.mean(errors) < 0.006


def test_order_of_rows_and_number_of_workers_change_nothing(
    scored, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "WORKERS", 1)
    monkeypatch.setattr(score_choice, "WORKERS", 1)
    order = np.random.default_rng(1).permutation(len(base))
    shuffled = [base[place] for place in order]
    tier = {customer.customer_id: number % 2 for number, customer in enumerate(base)}
    # The made-up tier goes by position, so the two halves keep theirs.
    halves = [[c for c in shuffled if tier[c.customer_id] == side] for side in (0, 1)]
    alternating = [customer for pair in zip(*halves, strict=True) for customer in pair]
    _, tables = score(tmp_path / "warehouse.duckdb", alternating)
    assert tables == scored[1]


def test_batches_hold_everybody_once_whatever_their_size(
    scored, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BATCH_ROWS", 300)
    _, tables = score(tmp_path / "warehouse.duckdb", base)
    exact = [name for name in scored[1]["customer_scores"][0] if not name.endswith(("low", "high"))]
    for one, other in zip(tables["customer_scores"], scored[1]["customer_scores"], strict=True):
        assert [one[name] for name in exact] == [other[name] for name in exact]


def once(customer_id: str, days_ago: int, amount: float = 10.0) -> Customer:
    return Customer(customer_id, ((AS_OF - timedelta(days=days_ago), amount),))


DEGENERATE = {
    "nobody": ([], None),
    "one customer": ([once("C0", 300)], None),
    "all buy once": ([once(f"C{n}", n % 400) for n in range(900)], None),
    "all buy once, no limit": (
        [once(f"C{n}", n % 400) for n in range(900)],
        Limits(buyers=1, days=1, repeat_buyers=0),
    ),
    "two days": ([once(f"C{n}", n % 2) for n in range(900)], None),
    "all amounts zero": (
        [replace(c, purchases=tuple((d, 0.0) for d, _ in c.purchases)) for c in drawn(900, 9)],
        None,
    ),
    "one enormous buyer": (
        [
            *drawn(900, 9),
            Customer(
                "C999999",
                tuple((AS_OF - timedelta(days=n), 1e9) for n in range(719, -1, -1)),
            ),
        ],
        None,
    ),
    "one customer, no limit": ([once("C0", 300)], Limits(buyers=1, days=1, repeat_buyers=0)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_get_a_reason_and_no_number_that_is_none(name: str, tmp_path: Path) -> None:
    customers, limits = DEGENERATE[name]
    choices, tables = score(tmp_path / "warehouse.duckdb", customers, limits)
    for rows in tables.values():
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers), row
    assert all(choice.reason for choice in choices.values())
    assert len(tables["customer_scores"]) == len(customers)
    for row in tables["customer_scores"]:
        if row["lifetime_value_365d"] is None:
            assert row["note"]
    if "limit" not in name and name not in ("all amounts zero", "one enormous buyer"):
        assert all(choice.published is None for choice in choices.values())
        assert all("too" in row["note"] for row in tables["customer_scores"])
    if name == "all amounts zero":
        assert choices["expected_order_value"].published is None
        assert choices["expected_order_value"].reason == "no repeat purchase has a value"
        assert choices["expected_purchases"].published


def today_of(customers: Sequence[Customer]) -> tuple[Snapshot, np.ndarray]:
    """Return customers as of the as-of date with the mean value of their repeat purchases."""
    days = [[day for day, _ in one.purchases] for one in customers]
    repeat = [[amount for _, amount in one.purchases[1:]] for one in customers]
    return (
        Snapshot(
            repeat_count=np.array([len(one) - 1 for one in days]),
            days_to_last=np.array([(one[-1] - one[0]).days for one in days]),
            days_observed=np.array([(AS_OF - one[0]).days for one in days]),
            value_at_stake=np.ones(len(days)),
            group_number=np.arange(len(days)) % 500,
        ),
        np.array([sum(one) / max(1, len(one)) for one in repeat]),
    )


def scorer_of(
    customers: Snapshot, mean_value: np.ndarray, model: str = "mbg_nbd"
) -> scoring.Scorer:
    histories = customer_base.Histories.grouped(*score_choice.history_of(customers))
    values = customer_base.OrderValues.grouped(customers.repeat_count, mean_value)
    return scoring.Scorer(
        scoring.Settings(AS_OF, Limits(), 0.10),
        margin_rate=0.25,
        count_fit=customer_base.fit(model, histories),
        order_value_fit=customer_base.fit_gamma_gamma(values),
    )


COHORTS, SEEDS = 10, 40


def futures(count: int, rng: np.random.Generator) -> tuple[Snapshot, np.ndarray, np.ndarray]:
    """Draw customers and their discounted margin of the 365 days to come, event by event.

    Times are not rounded, so that what is measured is the interval and not the calendar.
    """
    r, alpha, a, b = MBG
    p, q, gamma = ORDER_VALUES
    observed = rng.uniform(90, 700, count)
    rate, chance = rng.gamma(r, 1 / alpha, count) / 7, rng.beta(a, b, count)
    scale = rng.gamma(q, 1 / gamma, count)
    repeat_count, last = np.zeros(count), np.zeros(count)
    spent, value = np.zeros(count), np.zeros(count)
    time, buying = np.zeros(count), np.flatnonzero(rng.random(count) > chance)
    while len(buying):
        time[buying] += rng.exponential(1 / rate[buying])
        buying = buying[time[buying] <= observed[buying] + 365]
        amount = rng.gamma(p, 1 / scale[buying])
        is_past = time[buying] <= observed[buying]
        past, future = buying[is_past], buying[~is_past]
        repeat_count[past] += 1
        last[past] = time[past]
        spent[past] += amount[is_past]
        years = (time[future] - observed[future]) / 365
        value[future] += 0.25 * amount[~is_past] * 1.1**-years
        buying = buying[rng.random(len(buying)) > chance[buying]]
    customers = Snapshot(
        repeat_count=repeat_count,
        days_to_last=last,
        days_observed=observed,
        value_at_stake=np.ones(count),
        group_number=np.zeros(count),
    )
    return customers, spent / np.maximum(repeat_count, 1), value


def test_predictive_intervals_of_cohorts_cover_what_came() -> None:
    covered = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        customers, mean_value, value = futures(1500, rng)
        draws = scorer_of(customers, mean_value).draws(customers, mean_value, rng)
        cohort = np.minimum((customers.days_observed - 90) // 61, COHORTS - 1)
        for number in range(COHORTS):
            members = cohort == number
            low, high = scoring.interval(draws[members].sum(axis=0)[None, :])
            covered.append(low[0] <= value[members].sum() <= high[0])
    assert len(covered) == 400
    assert 0.85 <= np.mean(covered) <= 0.95


def test_rules_that_need_no_fit_publish_what_they_learnt() -> None:
    customers, mean_value = today_of(list(drawn(50, 3)))
    past = replace(customers, next_period_count=np.arange(50) % 3)
    rule = quality.HiatusRule.learn(past)
    scorer = scoring.Scorer(
        scoring.Settings(AS_OF, Limits(), 0.10), 0.25, return_forecast=rule, count_rules={90: rule}
    )
    scores = scorer.scores(customers, mean_value)
    is_recent = (customers.hiatus_days <= 91).astype(int)
    assert scores["return_probability_90d"].tolist() == rule.rates[is_recent].tolist()
    assert scores["expected_purchases_90d"].tolist() == rule.counts[is_recent].tolist()
    assert np.isnan(scores["expected_purchases_365d"]).all()
    assert np.isnan(scores["lifetime_value_365d"]).all()
