"""NBD (Ehrenberg 1959): customers buy at rates of their own and never leave."""

import numpy as np
from scipy.special import digamma, gammaln

from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.model import Model, Parameters, draw_purchases


class Nbd(Model):
    """Nobody leaves: (r, alpha)."""

    names = ("r", "alpha")
    times = frozenset({"alpha"})
    starts = ((0.5, 0.5), (2.0, 2.0), (0.1, 0.1))

    def terms(self, parameters: Parameters, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return G(r + x) / G(r) * alpha^r / (alpha + T)^(r + x), as logarithm, and its slopes."""
        r, alpha = parameters
        shape = r + histories.repeat_count
        logarithm = np.log(alpha + histories.observed)
        value = gammaln(shape) - gammaln(r) + r * np.log(alpha) - shape * logarithm
        slopes = np.array(
            [
                digamma(shape) - digamma(r) + np.log(alpha) - logarithm,
                r / alpha - shape / (alpha + histories.observed),
            ]
        )
        return value, slopes

    def probability_alive(self, parameters, repeat_count, last_at, observed):  # noqa: D102
        return np.ones(len(observed))

    def expected_new_purchases(self, parameters, time):  # noqa: D102
        r, alpha = parameters
        return r / alpha * np.asarray(time, dtype=float)

    def expected_if_alive(self, parameters, repeat_count, observed, horizon):  # noqa: D102
        r, alpha = parameters
        return (r + repeat_count) / (alpha + observed) * horizon

    def _simulate_alive(self, parameters, repeat_count, observed, horizon, rng):
        count = draw_purchases(parameters, repeat_count, observed, horizon, rng)
        return count, np.full(len(observed), horizon)
