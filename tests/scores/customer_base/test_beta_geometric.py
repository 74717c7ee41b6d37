"""BG/NBD and MBG/NBD against numerical integrals, the published formula and an exact series."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1

from dagster_project.scores.customer_base.beta_geometric import mean_until_left
from dagster_project.scores.customer_base.purchase_models import MODELS


def purchases_over_chance(a: float, b: float, shape: float, growth: float) -> float:
    """Return the mean of (1 - (1 + growth p)^-shape) / p over p, Beta(a, b), by its log odds."""
    normal = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def integrand(odds: float) -> float:
        log_p, log_rest = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
        density = math.exp(a * log_p + b * log_rest - normal)
        return (
            density * -math.expm1(-shape * math.log1p(growth * math.exp(log_p))) / math.exp(log_p)
        )

    mode, width = math.log(a / b), math.sqrt(1 / a + 1 / b)
    points = [mode + width * step for step in (-40, -12, -4, 0, 4, 12, 40)]
    return math.fsum(
        quad(integrand, low, high, epsrel=1e-11, limit=200)[0] for low, high in pairwise(points)
    )


CHANCES = [(0.8, 2.5), (1.0, 2.0), (0.3, 0.5), (3.0, 1.0), (0.2, 300.0), (50.0, 2e4), (5e4, 1e5)]


@pytest.mark.parametrize("model", ["bg_nbd", "mbg_nbd"])
@pytest.mark.parametrize(("a", "b"), CHANCES)
def test_expected_purchases_are_a_mean_over_chances(model: str, a: float, b: float) -> None:
    r, alpha, horizon = 0.6, 5.0, 52.0
    rows = np.array([(0, 0, 0), (0, 0, 30), (2, 30, 39), (200, 100, 100), (20_000, 700, 700)]).T

    expected = MODELS[model].expected_purchases((r, alpha, a, b), *rows, horizon)

    alive = MODELS[model].probability_alive((r, alpha, a, b), *rows)
    survived = b + rows[0] + (model == "mbg_nbd")
    direct = [
        purchases_over_chance(a, survived[row], r + rows[0, row], horizon / (alpha + rows[2, row]))
        for row in range(rows.shape[1])
    ]
    assert expected == pytest.approx(alive * direct, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [(0.8, 2.5), (0.3, 0.5), (3.0, 1.0), (0.2, 20.0)])
def test_expected_purchases_are_the_published_formula(a: float, b: float) -> None:
    r, alpha, horizon = 0.6, 5.0, 39.0
    x, t, end = np.array([(1, 5, 10), (2, 30, 39), (7, 20, 38)], dtype=float).T

    expected = MODELS["bg_nbd"].expected_purchases((r, alpha, a, b), x, t, end, horizon)

    # Equation 10 of Fader, Hardie and Lee (2005).
    total = a + b + x - 1
    series = hyp2f1(r + x, b + x, total, horizon / (alpha + end + horizon))
    gain = 1 - ((alpha + end) / (alpha + end + horizon)) ** (r + x) * series
    odds = a / (b + x - 1) * ((alpha + end) / (alpha + t)) ** (r + x)
    assert expected == pytest.approx(total / (a - 1) * gain / (1 + odds), rel=1e-7)


# Against a series without cancellation


def purchases_by_series(a: float, b: float, shape: float, growth: float) -> float:
    """Return how often customers buy who leave after a purchase, from how often they would buy.

    Of n purchases (negative binomial) the k-th is made if the customer stayed after all before.
    """
    mean = shape * growth
    longest = int(mean + 50 * (1 + growth) + 50 * math.sqrt(mean * (1 + growth))) + 200
    count = np.arange(longest + 1)
    chance = np.exp(
        gammaln(shape + count)
        - gammaln(shape)
        - gammaln(count + 1)
        + count * math.log(growth / (1 + growth))
        - shape * math.log1p(growth)
    )
    stayed = np.cumprod(np.append(1.0, (b + count[:-1]) / (a + b + count[:-1])))
    made = np.append(0.0, np.cumsum(stayed)[:-1])
    # Logarithms of so large numbers are off by a common factor.
    return (chance * made).sum() / chance.sum()


def test_a_longer_horizon_never_brings_less_where_all_but_nobody_stays() -> None:
    parameters, new = (9.0, 0.125, 17.0, 0.5), np.zeros((3, 1))

    short, long = (MODELS["bg_nbd"].expected_purchases(parameters, *new, t)[0] for t in (4.0, 52.0))

    assert short == pytest.approx(purchases_by_series(17.0, 0.5, 9.0, 4.0 / 0.125), rel=1e-11)
    assert long == pytest.approx(purchases_by_series(17.0, 0.5, 9.0, 52.0 / 0.125), rel=1e-11)
    # Who buys for ever until they leave buys (a + b - 1) / (a - 1) times.
    assert short <= long == pytest.approx(16.5 / 16, rel=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("shape", "growth"),
    [
        (0.05, 1e-3),
        (0.05, 1000.0),
        (0.3, 400.0),
        (0.6, 0.1),
        (1.0, 1e-6),
        (9.0, 32.0),
        (50.0, 8.0),
        (2050.0, 0.3),
        (2050.0, 5.0),
    ],
)
def test_expected_purchases_are_the_series_within_the_stated_error(
    shape: float, growth: float
) -> None:
    grid = (1e-3, 0.05, 0.5, 1.0, 2.0, 2.6, 17.0, 50.0, 2e3)
    chances = [(a, b) for a in grid for b in (*grid, 2e4)]

    exact = [purchases_by_series(a, b, shape, growth) for a, b in chances]
    found = [
        mean_until_left(a, *(np.array([number]) for number in (b, shape, growth)))[0]
        for a, b in chances
    ]

    assert found == pytest.approx(exact, rel=2e-8)
    # Nearly everywhere by far.
    assert np.median(np.abs(np.divide(found, exact) - 1)) < 1e-12


def test_a_customer_forecast_does_not_depend_on_who_stands_beside() -> None:
    dice = np.random.default_rng(7)
    rows = dice.uniform(0.05, 50, 500), dice.uniform(0.05, 200, 500), dice.uniform(0, 500, 500)

    together = mean_until_left(0.8, *rows)

    for row in range(0, 500, 23):
        assert mean_until_left(0.8, *(column[[row]] for column in rows))[0] == together[row]
