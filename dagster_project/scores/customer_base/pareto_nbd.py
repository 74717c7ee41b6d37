"""Pareto/NBD (Schmittlein, Morrison and Colombo 1987): customers leave at any time.

Each leaves at a rate of their own, Gamma(s, beta) over customers, whether they buy or not.
"""

from functools import partial

import numpy as np
from scipy.special import digamma, expit, gammaln

from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.model import (
    Model,
    Parameters,
    draw_purchases,
    in_blocks,
)

# Of Gauss and Legendre between 0 and 1; shape (nodes, 1).
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(20)
NODES, WEIGHTS = (_POINTS[:, None] + 1) / 2, _WEIGHTS[:, None] / 2
# Below exp(-25) of its top an integrand adds nothing.
NEGLIGIBLE = 25.0


class ParetoNbd(Model):
    """Customers leave at any time: (r, alpha, s, beta)."""

    names = ("r", "alpha", "s", "beta")
    times = frozenset({"alpha", "beta"})
    starts = ((0.5, 0.5, 0.5, 0.5), (2.0, 2.0, 1.0, 2.0), (0.5, 0.2, 0.2, 0.1))

    def terms(self, parameters: Parameters, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithm of the likelihood and its slopes.

        G(r + x) alpha^r beta^s / G(r) * (1 / (alpha + T)^(r + x) / (beta + T)^s
        + s * integral from t_x to T of dy / (alpha + y)^(r + x) / (beta + y)^(s + 1)).
        """
        r, alpha, s, beta = parameters
        shape = r + histories.repeat_count
        start, end = histories.last_at, histories.observed
        odds, log_alpha, log_beta, per_alpha, per_beta = in_blocks(
            partial(_drop_out, parameters), shape, start, end
        )
        gone = expit(odds)
        stays = 1 - gone
        value = (
            gammaln(shape)
            - gammaln(r)
            + r * np.log(alpha)
            + s * np.log(beta)
            - shape * np.log(alpha + end)
            - s * np.log(beta + end)
            + np.logaddexp(0, odds)
        )
        slopes = np.array(
            [
                digamma(shape)
                - digamma(r)
                + np.log(alpha)
                - stays * np.log(alpha + end)
                - gone * log_alpha,
                r / alpha - shape * (stays / (alpha + end) + gone * per_alpha),
                np.log(beta) - stays * np.log(beta + end) + gone * (1 / s - log_beta),
                s / beta - stays * s / (beta + end) - gone * (s + 1) * per_beta,
            ]
        )
        return value, slopes

    def probability_alive(self, parameters, repeat_count, last_at, observed):
        """Return 1 / (1 + s (alpha + T)^(r + x) (beta + T)^s * the integral of the likelihood)."""
        return expit(-self._log_odds_gone(parameters, repeat_count, last_at, observed))

    def expected_new_purchases(self, parameters, time):  # noqa: D102
        r, alpha, s, beta = parameters
        return r / alpha * _active_time(s, beta, np.asarray(time, dtype=float))

    def expected_if_alive(self, parameters, repeat_count, observed, horizon):  # noqa: D102
        r, alpha, s, beta = parameters
        rate = (r + repeat_count) / (alpha + observed)
        return rate * _active_time(s, beta + observed, horizon)

    def return_if_alive(self, parameters, repeat_count, observed, horizon):  # noqa: D102
        # Without a purchase: stays and buys nothing, or leaves before the first purchase.
        r, alpha, s, beta = parameters
        growth_alpha = np.log1p(horizon / (alpha + observed))
        growth_beta = np.log1p(horizon / (beta + observed))
        stays = -(r + repeat_count) * growth_alpha - s * growth_beta
        odds = self._log_odds_gone(parameters, repeat_count, observed, observed + horizon)
        return np.maximum(-np.expm1(stays + np.logaddexp(0, odds)), 0)

    def _log_odds_gone(self, parameters, repeat_count, start, end):
        """Return the log odds that who buys nothing from start to end left meanwhile."""
        odds_only = partial(_drop_out, parameters, with_means=False)
        return in_blocks(odds_only, parameters[0] + repeat_count, start, end)[0]

    def _simulate_alive(self, parameters, repeat_count, observed, horizon, rng):
        _, _, s, beta = parameters
        with np.errstate(over="ignore"):
            stay = (beta + observed) * np.expm1(rng.standard_exponential(len(observed)) / s)
        active = np.minimum(stay, horizon)
        count = draw_purchases(parameters, repeat_count, observed, active, rng)
        return count, active


def _drop_out(
    parameters: Parameters,
    shape: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    with_means: bool = True,
) -> np.ndarray:
    """Return the odds that a customer without a purchase from start to end has left, and when.

    The likelihood of leaving at y is s / (alpha + y)^shape / (beta + y)^(s + 1), of staying
    1 / (alpha + end)^shape / (beta + end)^s. It is integrated by Gauss and Legendre in
    u = log((m + y) / (m + start)), m the smaller of alpha and beta: there it falls ever faster, and
    is cut off where it has become negligible, so that no great count makes it a spike between the
    nodes.

    Returns:
        Shape (1, rows): logarithm of the odds; with means (5, rows), the others over the time of
        leaving of log(alpha + y), log(beta + y), 1 / (alpha + y) and 1 / (beta + y).
    """
    _, alpha, s, beta = parameters
    powers = (shape, s + 1)
    least, most = alpha, beta
    if beta < alpha:
        (least, most), powers = (beta, alpha), powers[::-1]
    width = _cut_off(np.log((least + end) / (least + start)), powers, least, most, start)
    u = width * NODES
    in_least = (least + start) * np.exp(u)
    in_most = most - least + in_least
    log_most = np.log(in_most)
    fall = (powers[0] - 1) * u + powers[1] * (log_most - np.log(most + start))
    value = np.exp(-fall) * WEIGHTS
    total = value.sum(axis=0)
    with np.errstate(divide="ignore"):
        odds = (
            np.log(s * total * width)
            + np.log((least + start) / (beta + start))
            + shape * np.log((alpha + end) / (alpha + start))
            + s * np.log((beta + end) / (beta + start))
        )
    if not with_means:
        return odds[None]
    value /= total
    logs = [np.log(least + start) + (value * u).sum(axis=0), (value * log_most).sum(axis=0)]
    inverses = [(value / in_least).sum(axis=0), (value / in_most).sum(axis=0)]
    if beta < alpha:
        logs, inverses = logs[::-1], inverses[::-1]
    return np.array([odds, *logs, *inverses])


def _cut_off(
    width: np.ndarray,
    powers: tuple[np.ndarray | float, np.ndarray | float],
    least: float,
    most: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return where the integrand has fallen to nothing against its start, or the whole width.

    The fall is convex in u, so Newton's steps from beyond it come down to it and never past.
    """
    for _ in range(12):
        in_least = (least + start) * np.exp(width)
        in_most = most - least + in_least
        fall = (powers[0] - 1) * width + powers[1] * np.log(in_most / (most + start))
        too_far = fall > NEGLIGIBLE
        if not too_far.any():
            break
        slope = powers[0] - 1 + powers[1] * in_least / in_most
        step = np.where(too_far, (fall - NEGLIGIBLE) / np.where(too_far, slope, 1.0), 0.0)
        width = width - step
        if (step < 1e-2 * width).all():
            break
    return width


def _active_time(s: float, beta: np.ndarray | float, horizon: np.ndarray | float) -> np.ndarray:
    """Return the mean time within the horizon until an active customer leaves, Lomax(s, beta)."""
    logarithm = np.log1p(horizon / beta)
    if abs(s - 1) < 1e-9:
        return beta * logarithm
    return beta * -np.expm1(-(s - 1) * logarithm) / (s - 1)
