"""Scores of every buyer: what the choice publishes, streamed through all customers.

Belongs here: the whole of it, from the histories of the models to the tables of scores, their
totals and what is told of each forecast.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from scipy import sparse

from dagster_project.config.source import Source
from dagster_project.scores import quality, score_choice
from dagster_project.scores.backtests import (
    LAST,
    WORKERS,
    Backtest,
    CurrentFits,
    gain_over_nbd,
    make_tests,
    refusal,
)
from dagster_project.scores.customer_base.gamma_gamma import GAMMA_GAMMA
from dagster_project.scores.customer_base.histories import Limits
from dagster_project.scores.rules import HIATUS_RULE
from dagster_project.scores.score_choice import Choice
from dagster_project.scores.score_tables import (
    append,
    batches,
    create_tables,
    insert,
    read_margin_rate,
    read_sample,
    read_snapshots,
    snapshot,
)
from dagster_project.scores.scorer import Scorer, interval, make_scorer

SEGMENTS = ("value_tier", "lifecycle_stage", "acquisition_month")
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
    limits: Limits
    discount_rate: float

    @classmethod
    def of(cls, source: Source, as_of: date) -> "Settings":
        """Return the settings of a source for one as-of date."""
        limits = Limits(
            buyers=source.settings.minimum_score_buyers,
            days=source.settings.minimum_score_days,
            repeat_buyers=source.settings.minimum_score_repeat_buyers,
        )
        return cls(as_of, limits, float(source.settings.discount_rate))


def write_scores(connection: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, Choice]:
    """Fit, put to the test, choose, score every buyer, and write the tables of schema `scores`.

    All tables change in one transaction. Memory is bounded: tests and fits take the sampled
    customers, and the scores pass through in batches.

    Returns:
        By score, what publishes it and why.
    """
    tests = make_tests(read_snapshots(connection), settings.limits)
    today = CurrentFits.fit(*read_sample(connection), settings.limits)
    choices = score_choice.make_choices(tests, today)
    scorer = make_scorer(
        settings.discount_rate, read_margin_rate(connection, settings.as_of), tests, today, choices
    )
    connection.begin()
    create_tables(connection)
    insert(connection, "score_versions", _version_rows(settings, today, choices))
    insert(connection, "model_quality", _quality_rows(tests))
    insert(connection, "model_calibration", _calibration_rows(tests))
    insert(connection, "value_forecasts", _score_everybody(connection, scorer, _note(choices)))
    connection.commit()
    return choices


def _score_everybody(
    connection: duckdb.DuckDBPyConnection, scorer: Scorer, note: str | None
) -> list[dict[str, Any]]:
    """Stream every buyer into `scores.customer_scores`; return the rows of the totals."""

    def score(numbered: tuple[int, pa.Table]) -> tuple[pa.Table, Totals]:
        number, rows = numbered
        # The order and size of the batches are fixed, so their draws are too.
        return _score_batch(scorer, rows, np.random.default_rng([1, number]), note)

    totals: Totals = {}
    for scored, part in _in_order(score, enumerate(batches(connection.cursor()))):
        append(connection, "customer_scores", scored)
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


def _score_batch(
    scorer: Scorer, rows: pa.Table, rng: np.random.Generator, note: str | None
) -> tuple[pa.Table, Totals]:
    customers, mean_value = snapshot(rows), rows["mean_value"].to_numpy()
    scores = scorer.scores(customers, mean_value)
    low, high = np.full((2, len(rows)), np.nan)
    totals: Totals = {}
    if scorer.has_clv:
        draws = scorer.draws(customers, mean_value, rng)
        low, high = interval(draws)
        totals = _sums_by_segment(rows, scores["clv_365d"], draws)
    scores |= {"clv_365d_low": low, "clv_365d_high": high}
    columns = {name: pa.array(values, from_pandas=True) for name, values in scores.items()}
    notes = pa.array([note] * len(rows), pa.string())
    return pa.table({"customer_id": rows["customer_id"], **columns, "note": notes}), totals


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
        "clv_365d": float(sums[1]),
        "clv_365d_low": float(low),
        "clv_365d_high": float(high),
    }


def _note(choices: Mapping[str, Choice]) -> str | None:
    missing = [
        f"no {score}: {choice.reason}"
        for score, choice in choices.items()
        if choice.published is None
    ]
    if choices["expected_purchase_days"].published == HIATUS_RULE:
        missing.append(
            "no clv_365d and no expected_next_purchase_on: the plain rule publishes "
            "expected_purchase_days, and only for horizons that it was put to the test on"
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
                "is_chosen": choice.published == name,
                "reason": _reason(name, choice, today),
                **window,
                **_fit_columns(name, today),
            }


def _reason(name: str, choice: Choice, today: CurrentFits) -> str:
    if name in (choice.winner, choice.published) or choice.winner is None:
        return choice.reason
    if name in today.fits and (fault := refusal(name, today.fits)):
        return fault
    return f"not chosen: {choice.reason}"


def _fit_columns(name: str, fitted: CurrentFits | Backtest) -> dict[str, Any]:
    """Return parameters and likelihood of a fitted model, nothing for what is not fitted."""
    fit = fitted.order_value_fit if name == GAMMA_GAMMA else fitted.fits.get(name)
    if fit is None or fit.reason:
        return {}
    columns = {"parameters": json.dumps(fit.parameters), "log_likelihood": fit.log_likelihood}
    if name in fitted.fits:
        columns["log_likelihood_gain"] = gain_over_nbd(fit, fitted.fits)
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
                "note": refusal(name, test.fits) if name in test.fits else None,
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
