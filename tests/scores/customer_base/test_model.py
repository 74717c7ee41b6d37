"""What holds of every model of purchases: slopes, draws, and what chances and counts must obey."""

import random
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.buyers import DAYS_PER_WEEK, TRUTH, Buyers, differences, made_up_customer

from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.purchase_models import MODELS


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        *((model, list(truth.values())) for model, truth in TRUTH.items()),
        # Here beta is the smaller.
        ("pareto_nbd", [0.8, 10.0, 0.7, 6.0]),
    ],
)
def test_slopes_are_the_differences(model: str, parameters: list[float], sample: Buyers) -> None:
    histories = Histories.grouped(*sample.history)

    _, slopes = MODELS[model].terms(parameters, histories)

    assert slopes == pytest.approx(
        differences(
            lambda near: MODELS[model].log_likelihood(near, histories), np.array(parameters)
        ),
        rel=1e-5,
        abs=1e-7,
    )


# Draws


@pytest.mark.parametrize("model", MODELS)
def test_simulated_futures_average_to_the_forecasts(model: str) -> None:
    parameters = list(TRUTH[model].values())
    kinds = np.array([(0, 0, 10), (1, 5, 30), (4, 28, 30), (30, 29, 30)], dtype=float)
    draws = 40_000
    rows = np.repeat(kinds, draws, axis=0).T

    count, active = MODELS[model].simulate(parameters, *rows, 26.0, np.random.default_rng(7))

    count, active = count.reshape(-1, draws), active.reshape(-1, draws)
    expected = MODELS[model].expected_purchases(parameters, *kinds.T, 26.0)
    assert (np.abs(count.mean(axis=1) - expected) < 4 * count.std(axis=1) / draws**0.5).all()
    returns = MODELS[model].repurchase_probability(parameters, *kinds.T, 26.0)
    assert (count > 0).mean(axis=1) == pytest.approx(returns, abs=4 * 0.5 / draws**0.5)
    assert ((active >= 0) & (active <= 26.0)).all()
    assert (active[count > 0] > 0).all()
    # Whoever has left already is active no more.
    alive = MODELS[model].probability_alive(parameters, *kinds.T)
    assert (active > 0).mean(axis=1) == pytest.approx(alive, abs=4 * 0.5 / draws**0.5)


@pytest.mark.parametrize("model", MODELS)
def test_new_customers_buy_as_expected(model: str) -> None:
    dice = random.Random(7)
    draws = 20_000

    expected = MODELS[model].expected_new_purchases(list(TRUTH[model].values()), np.array([26.0]))

    bought = [len(made_up_customer(model, TRUTH[model], 26.0, dice)) for _ in range(draws)]
    assert np.mean(bought) == pytest.approx(expected[0], abs=4 * np.std(bought) / draws**0.5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("model", MODELS)
def test_the_wildest_parameters_still_simulate(model: str) -> None:
    rows = np.array([(0, 0, 0), (0, 0, 30), (5, 20, 30), (200, 100, 100)], dtype=float).T
    for corner in product((-30, 0, 30), repeat=len(MODELS[model].names)):
        future = MODELS[model].simulate(np.exp(corner), *rows, 52.0, np.random.default_rng(7))
        assert np.isfinite(future).all()
        assert (future[1] <= 52.0).all()


# Properties


@st.composite
def histories_of_one(draw: st.DrawFn) -> tuple[float, float, float]:
    observed = draw(st.integers(0, 3000)) / DAYS_PER_WEEK
    last = draw(st.floats(0, 1)) * observed
    return (draw(st.integers(0, 2000)), last, observed) if last else (0, 0.0, observed)


SHAPES = st.floats(0.05, 50)

TIMES = st.floats(0.05, 500)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60)
@given(st.lists(histories_of_one(), min_size=1, max_size=8), SHAPES, TIMES, SHAPES, TIMES)
def test_chances_are_chances_and_longer_horizons_bring_more(
    model: str, customers: list, r: float, alpha: float, third: float, fourth: float
) -> None:
    parameters = (r, alpha, third, fourth)[: len(MODELS[model].names)]
    rows = np.array(customers, dtype=float).T

    alive = MODELS[model].probability_alive(parameters, *rows)
    assert ((alive >= 0) & (alive <= 1)).all()
    horizons = (0.0, 1.0, 4.0, 52.0)
    purchases = [MODELS[model].expected_purchases(parameters, *rows, time) for time in horizons]
    returns = [MODELS[model].repurchase_probability(parameters, *rows, time) for time in horizons]
    assert purchases[0] == pytest.approx(0, abs=1e-9)
    assert returns[0] == pytest.approx(0, abs=1e-9)
    for shorter, longer in pairwise(purchases):
        assert (longer >= shorter * (1 - 4e-8)).all()
    for shorter, longer in pairwise(returns):
        assert (longer >= shorter - 1e-9).all()
        assert (longer <= alive + 1e-12).all()
    # At least one purchase is expected as often as one is made.
    assert (purchases[-1] >= returns[-1] * (1 - 1e-5) - 1e-9).all()
    assert (MODELS[model].median_wait(parameters, *rows) > 0).all()
