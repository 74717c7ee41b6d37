"""Pareto/NBD against numerical integrals, whatever the history."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from support.buyers import plain_log_likelihood

from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.purchase_models import MODELS

HARD_HISTORIES = [
    (0.0, 0.0, 0.1),
    (0.0, 0.0, 10_000.0),
    (1.0, 30.0, 40.0),
    (3.0, 40.0, 40.0),
    (40.0, 1.0, 10_000.0),
    (500.0, 99.9, 100.0),
    (20_000.0, 5_000.0, 10_000.0),
    (20_000.0, 10.0, 100.0),
    (20_000.0, 100.0, 100.0),
]

HARD_RATES = [
    (0.5, 10.0, 0.6, 12.0),
    (0.3, 1e-3, 0.3, 10.0),
    (0.3, 10.0, 0.3, 1e-3),
    (2.0, 1e-2, 5.0, 1e-2),
    (1.0, 1e5, 0.5, 1.0),
    (1.0, 1.0, 0.5, 1e5),
    (1e4, 1e5, 1e4, 1e6),
]


def drop_out_odds(parameters: tuple[float, ...], x: float, t: float, end: float) -> float:
    """Return the logarithm of the odds under Pareto/NBD that a customer left before the end."""
    r, alpha, s, beta = parameters

    def integrand(log_time: float) -> float:
        time = math.exp(log_time)
        fall = (r + x) * math.log1p(time / (alpha + t)) + (s + 1) * math.log1p(time / (beta + t))
        return math.exp(log_time - fall)

    if t == end:
        return -math.inf
    pieces = np.arange(math.log(end - t), -36, -2)
    integral = math.fsum(
        quad(integrand, low, high, epsrel=1e-12)[0] for high, low in pairwise([*pieces, -40])
    )
    return (
        math.log(s * integral)
        + (r + x) * math.log((alpha + end) / (alpha + t))
        + s * math.log((beta + end) / (beta + t))
        - math.log(beta + t)
    )


@pytest.mark.parametrize("parameters", HARD_RATES)
def test_pareto_integrates_whatever_the_history(parameters: tuple[float, ...]) -> None:
    rows = np.array(HARD_HISTORIES).T
    odds = np.array([drop_out_odds(parameters, *row) for row in HARD_HISTORIES])
    stays = plain_log_likelihood(
        "nbd", list(parameters[:2]), Histories(*rows, weight=np.ones(len(odds)))
    ) - parameters[2] * np.log1p(rows[2] / parameters[3])

    model = MODELS["pareto_nbd"]
    histories = Histories(*rows, weight=np.ones(len(odds)))
    assert model.log_likelihood(parameters, histories) == pytest.approx(
        stays + np.logaddexp(0, odds), rel=1e-9, abs=1e-5
    )
    assert model.probability_alive(parameters, *rows) == pytest.approx(
        1 / (1 + np.exp(np.minimum(odds, 700))), rel=1e-5, abs=1e-250
    )
    # Leaves before the first purchase, or stays and buys nothing.
    x, _, end = rows
    odds = np.array([drop_out_odds(parameters, x, end, end + 13) for x, _, end in HARD_HISTORIES])
    nothing = -(parameters[0] + x) * np.log1p(13 / (parameters[1] + end)) - parameters[
        2
    ] * np.log1p(13 / (parameters[3] + end))
    returns = -np.expm1(nothing + np.logaddexp(0, odds))
    alive = model.probability_alive(parameters, *rows)
    assert model.repurchase_probability(parameters, *rows, 13.0) == pytest.approx(
        alive * returns, rel=1e-5, abs=1e-12
    )
