"""Gamma-Gamma (Fader and Hardie 2013): what an order of a customer is worth.

A customer's orders are Gamma(p, nu) distributed, nu is Gamma(q, gamma) over customers, and neither
depends on how often they buy.
"""

from dataclasses import replace

import numpy as np
from scipy.special import digamma, gammaln

from dagster_project.scores.customer_base.fitting import Fit, maximise, no_fit
from dagster_project.scores.customer_base.histories import OrderValues
from dagster_project.scores.customer_base.model import Parameters

GAMMA_GAMMA = "gamma_gamma"


def fit_gamma_gamma(values: OrderValues) -> Fit:
    """Fit the Gamma-Gamma model of order values (Fader and Hardie 2013): (p, q, gamma).

    A customer's orders are Gamma(p, nu) distributed, nu is Gamma(q, gamma) over customers, and
    neither depends on how often they buy. Nothing is raised; see `fit`.
    """
    names = ("p", "q", "gamma")
    if not len(values.weight):
        return no_fit(GAMMA_GAMMA, names, values, "no repeat purchase has a value")
    unit = float(np.average(values.mean_value, weights=values.weight))
    scaled = replace(values, mean_value=values.mean_value / unit)
    result = maximise(
        GAMMA_GAMMA,
        names,
        terms,
        scaled,
        ((5.0, 3.0, 0.5), (1.0, 5.0, 5.0), (20.0, 2.0, 0.1)),
        np.array([1.0, 1.0, unit]),
        float(values.weight.sum()) * np.log(unit),
    )
    if result.reason is None and result.parameters["q"] <= 1:
        return replace(result, reason="order values spread so far that they have no mean (q <= 1)")
    return result


def terms(parameters: Parameters, values: OrderValues) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood of each mean value, and its slopes; shapes (rows,), (3, rows)."""
    p, q, gamma = parameters
    count, mean = values.repeat_count, values.mean_value
    shape, scale = p * count, gamma + count * mean
    value = (
        gammaln(shape + q)
        - gammaln(shape)
        - gammaln(q)
        + q * np.log(gamma)
        + shape * np.log(count)
        + (shape - 1) * np.log(mean)
        - (shape + q) * np.log(scale)
    )
    both = digamma(shape + q)
    slopes = np.array(
        [
            count * (both - digamma(shape) + np.log(count * mean / scale)),
            both - digamma(q) + np.log(gamma / scale),
            q / gamma - (shape + q) / scale,
        ]
    )
    return value, slopes


def expected_order_value(
    parameters: Parameters, repeat_count: np.ndarray, mean_value: np.ndarray
) -> np.ndarray:
    """Return what each customer's next order is expected to bring.

    It is p (gamma + x m) / (p x + q - 1): the mean m of x orders, drawn to that of all customers.
    """
    p, q, gamma = parameters
    return p * (gamma + repeat_count * mean_value) / (p * repeat_count + q - 1)


def simulate_spend(
    parameters: Parameters,
    repeat_count: np.ndarray,
    mean_value: np.ndarray,
    count: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw what each customer spends on `count` orders, together; 0 on none."""
    p, q, gamma = parameters
    rate = rng.standard_gamma(q + p * repeat_count) / (gamma + repeat_count * mean_value)
    spend = rng.standard_gamma(p * count)
    return np.divide(spend, rate, out=np.zeros_like(spend), where=rate > 0)
