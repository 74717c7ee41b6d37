"""Fits of customers made up event by event, of degenerate ones, and how sure the parameters are."""

import math

import numpy as np
import pytest
from support.buyers import (
    DAYS_PER_WEEK,
    ORDER_TRUTH,
    TRUTH,
    Buyers,
    made_up_histories,
    made_up_order_values,
)

from dagster_project.scores.customer_base import fitting
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import fit_gamma_gamma
from dagster_project.scores.customer_base.histories import Histories, OrderValues
from dagster_project.scores.customer_base.purchase_models import MODELS, fit


def test_intervals_cover_the_truth() -> None:
    covered = []
    for seed in range(20):
        fits = {}
        for model in MODELS:
            exact, _ = made_up_histories(model, seed, 2000)
            fits[model] = fit(model, Histories.grouped(*exact)), TRUTH[model]
        orders = OrderValues.grouped(*made_up_order_values(seed, 2000))
        fits["gamma_gamma"] = fit_gamma_gamma(orders), ORDER_TRUTH
        for fitted, truth in fits.values():
            assert fitted.reason is None
            error = np.log(fitted.values) - np.log(list(truth.values()))
            covered += (np.abs(error) < 2 * np.sqrt(np.diag(fitted.covariance))).tolist()

    assert len(covered) == 20 * (2 + 4 + 4 + 4 + 3)
    assert 0.88 <= np.mean(covered) < 1


@pytest.mark.parametrize("model", MODELS)
def test_whole_days_hide_purchases_and_let_rates_seem_lower_and_more_alike(model: str) -> None:
    # About one purchase a week and customer: the day hides every tenth.
    truth = TRUTH[model] | {"alpha": TRUTH[model]["alpha"] / 8}
    exact, by_day = made_up_histories(model, 1, 2000, truth)

    hidden = 1 - by_day[0].sum() / exact[0].sum()
    true_fit, day_fit = (fit(model, Histories.grouped(*rows)) for rows in (exact, by_day))
    bias = np.log(day_fit.values / true_fit.values)

    assert 0.08 < hidden < 0.17
    assert 0.02 < bias[0] < 0.3
    assert 0.1 < bias[1] < 0.6
    assert (np.abs(bias[2:]) < 0.15).all()
    # What is forecast are purchase days, fewer than orders by the share that the day hides.
    orders, days = (
        MODELS[model].expected_purchases(fitted.values, *rows, 13.0).sum()
        for fitted, rows in ((true_fit, exact), (day_fit, by_day))
    )
    assert 1 - days / orders == pytest.approx(hidden, abs=0.05)


def test_drawn_parameters_spread_as_the_covariance_says(sample_fits: dict[str, Fit]) -> None:
    fitted = sample_fits["pareto_nbd"]

    logarithms = np.log(fitted.draws(20_000, np.random.default_rng(7)))

    assert logarithms.mean(axis=0) == pytest.approx(np.log(fitted.values), abs=0.02)
    assert np.cov(logarithms.T) == pytest.approx(fitted.covariance, rel=0.05, abs=0.002)


@pytest.mark.parametrize("curvature", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2))])
def test_drawn_parameters_are_finite_where_the_likelihood_is_flat(curvature: np.ndarray) -> None:
    covariance = fitting._covariance(curvature)
    fitted = Fit("nbd", {"r": 1.0, "alpha": 2.0}, 0.0, 1, covariance)

    drawn = fitted.draws(1000, np.random.default_rng(7))

    assert np.isfinite(drawn).all()
    assert (drawn > 0).all()
    # No direction is left wider than a standard error of two.
    assert np.linalg.eigvalsh(covariance).max() <= 4 + 1e-9
    assert np.log(drawn).std(axis=0).max() < 2.2


@pytest.mark.parametrize("model", MODELS)
def test_order_of_customers_changes_nothing(model: str, sample: Buyers) -> None:
    histories = Histories.grouped(*sample.history)
    mixed = np.random.default_rng(7).permutation(len(sample.observed))

    again = fit(model, Histories.grouped(*(column[mixed] for column in sample.history)))

    assert again.parameters == fit(model, histories).parameters


@pytest.mark.parametrize("model", MODELS)
def test_days_give_the_fit_of_weeks(
    model: str, sample: Buyers, sample_fits: dict[str, Fit]
) -> None:
    in_days = Histories.grouped(
        sample.repeat_count, sample.last_at * DAYS_PER_WEEK, sample.observed * DAYS_PER_WEEK
    )

    fitted, weekly = fit(model, in_days), sample_fits[model]

    for name in MODELS[model].names:
        scale = DAYS_PER_WEEK if name in ("alpha", "beta") else 1
        assert fitted.parameters[name] == pytest.approx(weekly.parameters[name] * scale, rel=1e-5)
    # A likelihood of times has the unit of a rate to the power of its purchases.
    shift = sample.repeat_count.sum() * math.log(DAYS_PER_WEEK)
    assert fitted.log_likelihood == pytest.approx(weekly.log_likelihood - shift, abs=1e-5)


# Degenerate customers

SOME = np.random.default_rng(7)

OBSERVED = SOME.integers(1, 700, 300) / DAYS_PER_WEEK

DEGENERATE = {
    "nobody": ([], [], []),
    "one customer": ([3], [10], [20]),
    "one buyer of once": ([0], [0], [20]),
    "first day only": (np.zeros(300), np.zeros(300), np.zeros(300)),
    "one-time buyers": (np.zeros(300), np.zeros(300), OBSERVED),
    "one enormous buyer": (
        [*(SOME.random(300) < 0.3), 20_000],
        [*OBSERVED / 2, 99],
        [*OBSERVED, 100],
    ),
    "two days": (np.arange(300) % 5 == 0, (np.arange(300) % 5 == 0) / 7, np.full(300, 1 / 7)),
    "identical": (np.full(300, 5), np.full(300, 20), np.full(300, 30)),
    "every day": (OBSERVED * DAYS_PER_WEEK, OBSERVED, OBSERVED),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_customers_give_finite_forecasts_or_a_reason(kind: str, model: str) -> None:
    x, t, end = (np.array(column, dtype=float) for column in DEGENERATE[kind])
    t = np.where(x > 0, t, 0)

    fitted = fit(model, Histories.grouped(x, t, end))

    assert fitted.customer_count == len(x)
    if not x.any():
        assert fitted.reason == "nobody bought again"
    if fitted.reason is None:
        assert np.isfinite(fitted.log_likelihood)
        drawn = fitted.draws(5, np.random.default_rng(7))
        for parameters in (fitted.values, *drawn):
            forecasts = (
                MODELS[model].probability_alive(parameters, x, t, end),
                MODELS[model].expected_purchases(parameters, x, t, end, 52.0),
                MODELS[model].repurchase_probability(parameters, x, t, end, 52.0),
                *MODELS[model].simulate(parameters, x, t, end, 52.0, np.random.default_rng(7)),
            )
            assert all(np.isfinite(forecast).all() for forecast in forecasts)
