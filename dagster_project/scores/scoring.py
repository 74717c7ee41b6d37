"""Scores of every buyer: what the choice publishes, streamed through all customers.

Belongs here: the scores of a batch of customers, the joint draws behind intervals, and what is
read from and written to the warehouse's schema `scores`. Which forecast publishes is decided in
`score_choice`.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.special import expit, logit

from dagster_project.config.source import Source
from dagster_project.scores import customer_base, quality, score_choice
from dagster_project.scores.customer_base import Fit
from dagster_project.scores.quality import EMPIRICAL_TABLE, HIATUS_RULE, Snapshot
from dagster_project.scores.score_choice import (
    DAYS_PER_WEEK,
    DECIDING_HORIZON,
    LAST,
    WORKERS,
    Backtest,
    Choice,
    CurrentFits,
    history_of,
)

HORIZONS = (30, 90, 365)
# Draws of parameters, and with each a joint draw of all customers' futures.
DRAWS = 200
TAIL_SHARE = 0.05
# A next purchase more than ten years away is no date to plan with.
LONGEST_WAIT_DAYS = 3650
BATCH_ROWS = 50_000
SEGMENTS = ("value_tier", "lifecycle_stage", "acquisition_month")
HISTORIES = """
    select
        customer_id, repeat_count, days_to_last, days_observed,
        cast(value_at_stake as double) as value_at_stake, group_number,
        greatest(cast(repeat_net_revenue as double), 0) / greatest(repeat_count, 1) as mean_value,
        value_tier, lifecycle_stage, cast(acquisition_month as varchar) as acquisition_month
    from intermediate.int_purchase_histories"""
TABLES = {
    "customer_scores": """
        customer_id varchar, probability_alive double, return_probability_90d double,
        expected_purchases_30d double, expected_purchases_90d double,
        expected_purchases_365d double, days_to_next_purchase double, expected_order_value double,
        lifetime_value_365d double, lifetime_value_365d_low double,
        lifetime_value_365d_high double, note varchar""",
    "value_forecasts": """
        segment varchar, segment_value varchar, customer_count bigint,
        lifetime_value_365d double, lifetime_value_365d_low double,
        lifetime_value_365d_high double""",
    "score_versions": """
        score varchar, model varchar, is_published boolean, reason varchar, parameters varchar,
        log_likelihood double, log_likelihood_gain double, customer_count bigint,
        repeat_customer_count bigint, data_from date, data_to date""",
    "model_quality": """
        horizon_days integer, cutoff_on date, purpose varchar, model varchar,
        customer_count bigint, actual_count bigint, predicted_count double, bias double,
        mae double, rmse double, correlation double, returned_count bigint,
        predicted_returned_count double, brier double, auc double, top_decile_lift double,
        brier_difference double, brier_difference_low double, brier_difference_high double,
        rmse_difference double, rmse_difference_low double, rmse_difference_high double,
        parameters varchar, log_likelihood double, log_likelihood_gain double, note varchar""",
    "model_calibration": """
        horizon_days integer, cutoff_on date, model varchar, decile integer,
        customer_count bigint, predicted_rate double, actual_rate double""",
}
"""Tables of the schema `scores` and their columns; the marts say what they mean."""

# By segment and its value: customers, expected value, and the sum of each joint draw.
Totals = dict[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """What the scores of a run depend on besides the histories.

    Attributes:
        as_of: Day at whose end the scores are made.
        limits: How much data a fit takes.
        discount_rate: What money in a year is worth less than today, as a share a year.
    """

    as_of: date
    limits: customer_base.Limits
    discount_rate: float

    @classmethod
    def of(cls, source: Source, as_of: date) -> "Settings":
        """Return the settings of a source for one as-of date."""
        limits = customer_base.Limits(
            buyers=source.settings.score_min_buyers,
            days=source.settings.score_min_days,
            repeat_buyers=source.settings.score_min_repeat_buyers,
        )
        return cls(as_of, limits, float(source.settings.discount_rate))


@dataclass(frozen=True)
class Scorer:
    """Everything that turns a customer's history into scores; the same for all customers.

    Attributes:
        settings: Of the run.
        margin_rate: Margin for each unit of the net revenue of purchase days, of the whole source.
        return_forecast: A fitted model, the empirical table, the plain rule, or None.
        tier_bounds: What a value must reach for the tiers of the empirical table.
        count_fit: The fitted model that forecasts purchases, or None.
        count_rules: By horizon in days, the plain rule that does where no model may.
        alive_fit: The fitted model that says who is still a customer, or None.
        order_value_fit: The fitted Gamma-Gamma model, or None.
    """

    settings: Settings
    margin_rate: float
    return_forecast: Fit | quality.EmpiricalTable | quality.HiatusRule | None = None
    tier_bounds: np.ndarray | None = None
    count_fit: Fit | None = None
    count_rules: Mapping[int, quality.HiatusRule] = field(default_factory=dict)
    alive_fit: Fit | None = None
    order_value_fit: Fit | None = None

    @property
    def has_lifetime_value(self) -> bool:
        """Whether purchases and order values are both forecast by a model."""
        return self.count_fit is not None and self.order_value_fit is not None

    @cached_property
    def _parameter_draws(self) -> list[tuple[np.ndarray, np.ndarray]]:
        # One set of parameters a draw, the same for all customers: totals are uncertain together.
        rng = np.random.default_rng(0)
        return list(
            zip(
                self.count_fit.draws(DRAWS, rng),
                self.order_value_fit.draws(DRAWS, rng),
                strict=True,
            )
        )

    def scores(self, customers: Snapshot, mean_value: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scores that need no draws, NaN where none is published.

        Args:
            customers: As of the as-of date.
            mean_value: Shape (customers,): mean net revenue of the purchase days after the first.
        """
        nothing = np.full(len(customers), np.nan)
        history = history_of(customers)
        alive = {
            fit.model: customer_base.MODELS[fit.model].probability_alive(fit.values, *history)
            for fit in (self.alive_fit, self.count_fit, self.return_forecast)
            if isinstance(fit, Fit)
        }
        scores = {
            "probability_alive": nothing if self.alive_fit is None else alive[self.alive_fit.model],
            "return_probability_90d": self._return_probability(customers, alive),
            "days_to_next_purchase": nothing,
            "expected_order_value": nothing,
            "lifetime_value_365d": nothing,
        }
        if self.order_value_fit is not None:
            scores["expected_order_value"] = customer_base.expected_order_value(
                self.order_value_fit.values, history[0], mean_value
            )
        if self.count_fit is None:
            for horizon in HORIZONS:
                rule = self.count_rules.get(horizon)
                count = rule.forecast(customers).purchase_count if rule else nothing
                scores[f"expected_purchases_{horizon}d"] = count
            return scores
        model, values = customer_base.MODELS[self.count_fit.model], self.count_fit.values
        repeat_count, _, observed = history

        def expected(days: float) -> np.ndarray:
            return alive[self.count_fit.model] * model.expected_if_alive(
                values, repeat_count, observed, days / DAYS_PER_WEEK
            )

        for horizon in HORIZONS:
            scores[f"expected_purchases_{horizon}d"] = expected(horizon)
        wait = model.median_wait(values, *history) * DAYS_PER_WEEK
        scores["days_to_next_purchase"] = np.where(wait <= LONGEST_WAIT_DAYS, np.ceil(wait), np.nan)
        if self.has_lifetime_value:
            # Each quarter's purchases are discounted from its middle.
            ends = [0.25, 0.5, 0.75, 1.0]
            until = [np.zeros(len(customers)), *(expected(365 * end) for end in ends)]
            discounted = sum(
                (after - before) * (1 + self.settings.discount_rate) ** (0.125 - end)
                for before, after, end in zip(until, until[1:], ends, strict=False)
            )
            scores["lifetime_value_365d"] = (
                discounted * scores["expected_order_value"] * self.margin_rate
            )
        return scores

    def draws(
        self, customers: Snapshot, mean_value: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return joint draws of the discounted margin of the next 365 days.

        A draw has its own parameters, the same for all customers; then each customer's drop-out,
        purchases and what they spend. Purchases are spread evenly over the time until drop-out.

        Returns:
            Shape (customers, draws).
        """
        repeat_count, last_at, observed = history_of(customers)
        model = customer_base.MODELS[self.count_fit.model]
        horizon = 365 / DAYS_PER_WEEK
        rate = np.log1p(self.settings.discount_rate) / horizon
        odds, slopes = self._alive_odds(repeat_count, last_at, observed)
        values = np.zeros((len(customers), DRAWS), dtype=np.float32)
        for number, (parameters, order_parameters) in enumerate(self._parameter_draws):
            change = np.log(parameters / self.count_fit.values)
            chance = expit(odds + change @ slopes)
            count, active = model.simulate(
                parameters, repeat_count, last_at, observed, horizon, rng, chance
            )
            buyers = np.flatnonzero(count)
            spend = customer_base.simulate_spend(
                order_parameters, repeat_count[buyers], mean_value[buyers], count[buyers], rng
            )
            values[buyers, number] = spend * _mean_discount(rate * active[buyers])
        values *= self.margin_rate
        return values

    def _alive_odds(self, *history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log odds of being alive, and their slopes by the logarithm of each parameter.

        Parameters are drawn close to the fit, where odds are all but straight: the chance need not
        be computed anew for every draw.

        Returns:
            Shapes (customers,) and (k, customers); where nobody can have left, infinite and 0.
        """
        model, values = customer_base.MODELS[self.count_fit.model], self.count_fit.values

        def odds(parameters: np.ndarray) -> np.ndarray:
            return logit(model.probability_alive(parameters, *history))

        middle, step = odds(values), 1e-3
        with np.errstate(invalid="ignore"):
            slopes = [
                (odds(values * np.exp(shift)) - middle) / step
                for shift in step * np.eye(len(values))
            ]
        return middle, np.where(np.isfinite(middle), slopes, 0.0)

    def _return_probability(
        self, customers: Snapshot, alive: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        forecast = self.return_forecast
        if forecast is None:
            return np.full(len(customers), np.nan)
        if isinstance(forecast, quality.EmpiricalTable):
            return forecast.forecast(customers, self.tier_bounds).return_probability
        if isinstance(forecast, quality.HiatusRule):
            return forecast.forecast(customers).return_probability
        repeat_count, _, observed = history_of(customers)
        return alive[forecast.model] * customer_base.MODELS[forecast.model].return_if_alive(
            forecast.values, repeat_count, observed, DECIDING_HORIZON / DAYS_PER_WEEK
        )


def _mean_discount(exponent: np.ndarray) -> np.ndarray:
    """Return the mean of exp(-u) for u spread evenly from 0 to the exponent."""
    small = np.maximum(exponent, 1e-9)
    return -np.expm1(-small) / small


def make_scorer(
    settings: Settings,
    margin_rate: float,
    tests: Mapping[tuple[int, int], Backtest],
    today: CurrentFits,
    choices: Mapping[str, Choice],
) -> Scorer:
    """Return the scorer that the choices make."""
    published = {score: choice.published for score, choice in choices.items()}
    learnt_from = {
        horizon: test.customers for (horizon, step), test in tests.items() if step == LAST
    }
    return_forecast = today.fits.get(published["return_probability_90d"])
    if published["return_probability_90d"] == EMPIRICAL_TABLE:
        return_forecast = quality.EmpiricalTable.learn(learnt_from[DECIDING_HORIZON])
    elif published["return_probability_90d"] == HIATUS_RULE:
        return_forecast = quality.HiatusRule.learn(learnt_from[DECIDING_HORIZON])
    count_rules = {}
    if published["expected_purchases"] == HIATUS_RULE:
        count_rules = {
            horizon: quality.HiatusRule.learn(customers)
            for horizon, customers in learnt_from.items()
        }
    return Scorer(
        settings=settings,
        margin_rate=margin_rate,
        return_forecast=return_forecast,
        tier_bounds=(
            quality.tier_bounds(today.customers.value_at_stake) if len(today.customers) else None
        ),
        count_fit=today.fits.get(published["expected_purchases"]),
        count_rules=count_rules,
        alive_fit=today.fits.get(published["probability_alive"]),
        order_value_fit=today.order_value_fit if published["expected_order_value"] else None,
    )


def write_scores(connection: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, Choice]:
    """Fit, put to the test, choose, score every buyer, and write the tables of schema `scores`.

    All tables change in one transaction. Memory is bounded: tests and fits take the sampled
    customers, and the scores pass through in batches.

    Returns:
        By score, what publishes it and why.
    """
    tests = score_choice.make_tests(_read_snapshots(connection), settings.limits)
    today = CurrentFits.fit(*_read_sample(connection), settings.limits)
    choices = score_choice.make_choices(tests, today)
    scorer = make_scorer(
        settings, _read_margin_rate(connection, settings.as_of), tests, today, choices
    )
    connection.begin()
    create_tables(connection)
    _insert(connection, "score_versions", _version_rows(settings, today, choices))
    _insert(connection, "model_quality", _quality_rows(tests))
    _insert(connection, "model_calibration", _calibration_rows(tests))
    _insert(connection, "value_forecasts", _score_everybody(connection, scorer, _note(choices)))
    connection.commit()
    return choices


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of schema `scores` anew, empty."""
    connection.execute("create schema if not exists scores")
    for table, columns in TABLES.items():
        connection.execute(f"create or replace table scores.{table} ({columns})")


def _read_snapshots(
    connection: duckdb.DuckDBPyConnection,
) -> dict[tuple[int, int], tuple[date, Snapshot]]:
    table = connection.sql(
        "select * from intermediate.int_score_tests order by horizon_days, step, customer_id"
    ).to_arrow_table()
    snapshots = {}
    for horizon, step in sorted(
        set(zip(table["horizon_days"].to_pylist(), table["step"].to_pylist(), strict=True))
    ):
        rows = table.filter((pc.field("horizon_days") == horizon) & (pc.field("step") == step))
        snapshots[horizon, step] = rows["cutoff_on"][0].as_py(), _snapshot(rows)
    return snapshots


def _snapshot(rows: pa.Table | pa.RecordBatch) -> Snapshot:
    known = {name for name in Snapshot.__dataclass_fields__ if name in rows.schema.names}
    return Snapshot(**{name: rows[name].to_numpy(zero_copy_only=False) for name in known})


def _read_sample(connection: duckdb.DuckDBPyConnection) -> tuple[Snapshot, np.ndarray]:
    rows = connection.sql(
        f"{HISTORIES} where group_number is not null order by customer_id"
    ).to_arrow_table()
    return _snapshot(rows), rows["mean_value"].to_numpy()


def _read_margin_rate(connection: duckdb.DuckDBPyConnection, as_of: date) -> float:
    # What is returned on other days lowers the margin of all.
    margin, revenue = connection.execute(
        "select sum(margin), sum(net_revenue) filter (sale_line_count > 0) "
        "from intermediate.int_customer_days where ordered_on <= ?",
        [as_of],
    ).fetchone()
    return float(margin / revenue) if revenue else 0.0


def _score_everybody(
    connection: duckdb.DuckDBPyConnection, scorer: Scorer, note: str | None
) -> list[dict[str, Any]]:
    """Stream every buyer into `scores.customer_scores`; return the rows of the totals."""

    def score(numbered: tuple[int, pa.Table]) -> tuple[pa.Table, Totals]:
        number, rows = numbered
        # The order and size of the batches are fixed, so their draws are too.
        return _score_batch(scorer, rows, np.random.default_rng([1, number]), note)

    totals: Totals = {}
    for scored, part in _in_order(score, enumerate(_batches(connection.cursor()))):
        _append(connection, "customer_scores", scored)
        for segment, sums in part.items():
            totals[segment] = totals[segment] + sums if segment in totals else sums
    return [_total_row(*segment, sums) for segment, sums in sorted(totals.items())]


def _in_order(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield results in the order of the items, a few of which are worked on at a time."""
    with ThreadPoolExecutor(WORKERS) as workers:
        running: deque = deque()
        for item in items:
            running.append(workers.submit(work, item))
            if len(running) > WORKERS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _batches(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Yield all buyers in order, in batches of a fixed size whatever the engine reads at once."""
    reader = connection.sql(f"{HISTORIES} order by customer_id").to_arrow_reader(BATCH_ROWS)
    waiting = reader.schema.empty_table()
    for read in reader:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([read])])
        while len(waiting) >= BATCH_ROWS:
            yield waiting.slice(0, BATCH_ROWS)
            waiting = waiting.slice(BATCH_ROWS)
    if len(waiting):
        yield waiting


def _score_batch(
    scorer: Scorer, rows: pa.Table, rng: np.random.Generator, note: str | None
) -> tuple[pa.Table, Totals]:
    customers, mean_value = _snapshot(rows), rows["mean_value"].to_numpy()
    scores = scorer.scores(customers, mean_value)
    low, high = np.full((2, len(rows)), np.nan)
    totals: Totals = {}
    if scorer.has_lifetime_value:
        draws = scorer.draws(customers, mean_value, rng)
        low, high = interval(draws)
        totals = _sums_by_segment(rows, scores["lifetime_value_365d"], draws)
    scores |= {"lifetime_value_365d_low": low, "lifetime_value_365d_high": high}
    columns = {name: pa.array(values, from_pandas=True) for name, values in scores.items()}
    notes = pa.array([note] * len(rows), pa.string())
    return pa.table({"customer_id": rows["customer_id"], **columns, "note": notes}), totals


def interval(draws: np.ndarray) -> np.ndarray:
    """Return the ends of the 90% interval of draws.

    Args:
        draws: Shape (n, draws).

    Returns:
        Shape (2, n): as many draws lie below the first as above the second, a tenth in all.
    """
    count = draws.shape[1]
    outside = round(count * TAIL_SHARE)
    ends = [outside, count - 1 - outside]
    return np.partition(draws, ends, axis=1)[:, ends].T.astype(float)


def _sums_by_segment(rows: pa.Table, expected: np.ndarray, draws: np.ndarray) -> Totals:
    """Return customers, expected value and every draw's sum, by segment and its value."""
    columns = np.column_stack([np.ones(len(rows)), expected, draws])
    totals = {("all", "all"): columns.sum(axis=0)}
    for segment in SEGMENTS:
        encoded = rows[segment].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        members = sparse.csr_matrix(
            (np.ones(len(rows)), (codes, np.arange(len(rows)))),
            shape=(len(encoded.dictionary), len(rows)),
        )
        for value, sums in zip(encoded.dictionary.to_pylist(), members @ columns, strict=True):
            totals[segment, value] = sums
    return totals


def _total_row(segment: str, value: str, sums: np.ndarray) -> dict[str, Any]:
    ((low,), (high,)) = interval(sums[None, 2:])
    return {
        "segment": segment,
        "segment_value": value,
        "customer_count": int(sums[0]),
        "lifetime_value_365d": float(sums[1]),
        "lifetime_value_365d_low": float(low),
        "lifetime_value_365d_high": float(high),
    }


def _note(choices: Mapping[str, Choice]) -> str | None:
    missing = [
        f"no {score}: {choice.reason}"
        for score, choice in choices.items()
        if choice.published is None
    ]
    if choices["expected_purchases"].published == HIATUS_RULE:
        missing.append(
            "no lifetime_value_365d and no expected_next_purchase_on: the plain rule publishes "
            "expected_purchases, and only for horizons that it was put to the test on"
        )
    return "; ".join(missing) or None


def _version_rows(
    settings: Settings, today: CurrentFits, choices: Mapping[str, Choice]
) -> Iterator[dict[str, Any]]:
    window = {
        "customer_count": len(today.customers),
        "repeat_customer_count": int((today.customers.repeat_count > 0).sum()),
        "data_to": settings.as_of,
        "data_from": settings.as_of - timedelta(days=int(today.customers.days_observed.max()))
        if len(today.customers)
        else None,
    }
    for score, choice in choices.items():
        for name in score_choice.CANDIDATES[score]:
            yield {
                "score": score,
                "model": name,
                "is_published": choice.published == name,
                "reason": _reason(name, choice, today),
                **window,
                **_fit_columns(name, today),
            }


def _reason(name: str, choice: Choice, today: CurrentFits) -> str:
    if name in (choice.winner, choice.published) or choice.winner is None:
        return choice.reason
    if name in today.fits and (fault := score_choice.refusal(name, today.fits)):
        return fault
    return f"not chosen: {choice.reason}"


def _fit_columns(name: str, fitted: CurrentFits | Backtest) -> dict[str, Any]:
    """Return parameters and likelihood of a fitted model, nothing for what is not fitted."""
    fit = fitted.order_value_fit if name == customer_base.GAMMA_GAMMA else fitted.fits.get(name)
    if fit is None or fit.reason:
        return {}
    columns = {"parameters": json.dumps(fit.parameters), "log_likelihood": fit.log_likelihood}
    if name in fitted.fits:
        columns["log_likelihood_gain"] = score_choice.gain_over_nbd(fit, fitted.fits)
    return columns


def _quality_rows(tests: Mapping[tuple[int, int], Backtest]) -> Iterator[dict[str, Any]]:
    for (horizon, step), test in tests.items():
        for name, measures in test.quality.items():
            yield {
                "horizon_days": horizon,
                "cutoff_on": test.cutoff_on,
                "purpose": "judging" if step == LAST else "choosing",
                "model": name,
                **measures,
                **_fit_columns(name, test),
                "note": score_choice.refusal(name, test.fits) if name in test.fits else None,
            }


def _calibration_rows(tests: Mapping[tuple[int, int], Backtest]) -> Iterator[dict[str, Any]]:
    for (horizon, _), test in tests.items():
        for name, forecast in test.forecasts.items():
            for row in quality.calibration(test.customers, forecast):
                yield {
                    "horizon_days": horizon,
                    "cutoff_on": test.cutoff_on,
                    "model": name,
                    **row,
                }


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[dict[str, Any]]
) -> None:
    rows = list(rows)
    if rows:
        names = dict.fromkeys(name for row in rows for name in row)
        _append(connection, table, pa.table({n: [row.get(n) for row in rows] for n in names}))


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("new_rows", rows)
    connection.execute(f"insert into scores.{table} by name select * from new_rows")
    connection.unregister("new_rows")
