"""Maximum likelihood for every model here, and how sure it leaves the parameters.

Belongs here: the climb, its judgement and the spread of the parameters; a likelihood comes with
its model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from dagster_project.scores.customer_base.histories import Histories, OrderValues
from dagster_project.scores.customer_base.model import Parameters

# A parameter beyond these has no meaning left: the customers are all alike, or nobody leaves. Times
# are measured in the mean time observed.
LOWEST, HIGHEST = 1e-5, 1e5
# Starts are compared on so many grouped rows before the best is followed on all.
TRIAL_ROWS = 1_000
# Largest slope of the mean log-likelihood per customer that still counts as the top.
FLAT = 1e-4
# Stands for the negative logarithm of a likelihood that cannot be worked out.
NO_LIKELIHOOD = 1e10
# Standard error of a logarithm beyond which a parameter is as good as unknown.
WIDEST_ERROR = 2.0

Terms = Callable[[Parameters, Any], tuple[np.ndarray, np.ndarray]]
"""Log-likelihood of each row and its slopes, by parameters and rows; shapes (rows,), (k, rows)."""


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        model: Its name.
        parameters: By name, in the unit of time (or money) of what was fitted to.
        log_likelihood: Sum over customers.
        customer_count: Customers fitted to.
        covariance: Shape (k, k): asymptotic covariance of the logarithms of the parameters.
        reason: Why nothing may be made of it; None if it holds.
    """

    model: str
    parameters: dict[str, float]
    log_likelihood: float
    customer_count: int
    covariance: np.ndarray
    reason: str | None = None

    @property
    def values(self) -> np.ndarray:
        """The parameters in the order of the model; shape (k,)."""
        return np.array(list(self.parameters.values()))

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return parameters as uncertain as the fit leaves them, normal in their logarithms.

        Returns:
            Shape (count, k).
        """
        logarithms = rng.multivariate_normal(np.log(self.values), self.covariance, count)
        return np.exp(np.clip(logarithms, -30, 30))


def maximise(
    name: str,
    names: Sequence[str],
    terms: Terms,
    rows: Histories | OrderValues,
    starts: Sequence[Sequence[float]],
    units: np.ndarray,
    shift: float,
) -> Fit:
    """Maximise a likelihood over the logarithms of the parameters.

    Args:
        name: Of the model.
        names: Of its parameters.
        terms: Log-likelihood of each row and its slopes.
        rows: Scaled, so that times (or amounts) are around one.
        starts: Parameters to start from.
        units: Shape (k,): what a parameter is measured in.
        shift: What the scale added to the log-likelihood.
    """
    lowest, highest = np.log(LOWEST), np.log(HIGHEST)

    def mean_and_slope(
        point: np.ndarray, some: Histories | OrderValues
    ) -> tuple[float, np.ndarray]:
        value, slopes = terms(np.exp(point), some)
        # Not by matrix products, whose last digits depend on the number of threads.
        size = some.weight.sum()
        mean, slope = (value * some.weight).sum() / size, (slopes * some.weight).sum(axis=1) / size
        return mean, slope * np.exp(point)

    def climb(some: Histories | OrderValues, start: np.ndarray) -> OptimizeResult:
        def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
            mean, slope = mean_and_slope(point, some)
            if not np.isfinite(mean) or not np.isfinite(slope).all():
                return NO_LIKELIHOOD, np.zeros(len(point))
            # Soft walls: a parameter without an optimum comes to rest just beyond.
            beyond = point - np.clip(point, lowest, highest)
            return beyond @ beyond - mean, 2 * beyond - slope

        # L-BFGS-B knows bounds but waits on its linear algebra's threads a hundred times as long
        # as these few parameters take.
        return minimize(negative, start, jac=True, method="BFGS", options={"gtol": 1e-7})

    trial = _thinned(rows)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        best = min((climb(trial, np.log(start)) for start in starts), key=lambda found: found.fun)
        point = climb(rows, best.x).x
        mean, slope = mean_and_slope(point, rows)
        curvature = _curvature(lambda near: mean_and_slope(near, rows)[1], point)
    inside = (point > lowest) & (point < highest)
    count = rows.weight.sum()
    log_likelihood = mean * count - shift
    reason = None
    if not np.isfinite(log_likelihood):
        reason = "the fit found no likelihood"
    elif (np.abs(slope[inside]) > FLAT).any():
        reason = "the fit did not converge"
    return Fit(
        name,
        dict(zip(names, (np.exp(point) * units).tolist(), strict=True)),
        float(log_likelihood),
        int(count),
        _covariance(curvature * count),
        reason,
    )


def no_fit(name: str, names: Sequence[str], rows: Histories | OrderValues, reason: str) -> Fit:
    """Return what stands for a fit that was not possible, and why."""
    missing = dict.fromkeys(names, np.nan)
    unknown = np.full((len(names), len(names)), np.nan)
    return Fit(name, missing, np.nan, int(rows.weight.sum()), unknown, reason)


def _thinned(rows: "Histories | OrderValues") -> "Histories | OrderValues":
    """Return some of the rows, evenly taken."""
    step = -(-len(rows.weight) // TRIAL_ROWS)
    return type(rows)(**{one.name: getattr(rows, one.name)[::step] for one in fields(rows)})


def _curvature(slope_of: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    """Return the second derivatives, with opposite sign, by differences of the slopes."""
    step = 1e-4
    rows = [
        (slope_of(point - shift) - slope_of(point + shift)) / (2 * step)
        for shift in step * np.eye(len(point))
    ]
    return (np.array(rows) + np.array(rows).T) / 2


def _covariance(curvature: np.ndarray) -> np.ndarray:
    """Return the inverse of the curvature, no direction of which is left wider than sensible."""
    if not np.isfinite(curvature).all():
        return np.eye(len(curvature)) * WIDEST_ERROR**2
    values, vectors = np.linalg.eigh(curvature)
    variances = 1 / np.maximum(values, WIDEST_ERROR**-2)
    return (vectors * variances) @ vectors.T
