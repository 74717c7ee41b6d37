"""What every model of purchases answers, and what several of them compute alike.

Belongs here: the questions, and the answers that are the same whatever the way customers leave.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from dagster_project.scores.customer_base.histories import Histories

Parameters = np.ndarray | Sequence[float]

# So many rows by nodes fit a processor's cache.
BLOCK_ROWS = 2_048


class Model(ABC):
    """How customers buy and leave; parameters in the order of `names`, all above zero."""

    names: ClassVar[tuple[str, ...]]
    # Parameters that are times; the others have no unit.
    times: ClassVar[frozenset[str]]
    starts: ClassVar[tuple[tuple[float, ...], ...]]

    @abstractmethod
    def terms(self, parameters: Parameters, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-likelihood of each history and its slopes.

        Returns:
            Shapes (rows,) and (k, rows): slopes with respect to the parameters.
        """

    @abstractmethod
    def probability_alive(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        last_at: np.ndarray,
        observed: np.ndarray,
    ) -> np.ndarray:
        """Return the chance that each customer has not left."""

    @abstractmethod
    def expected_new_purchases(self, parameters: Parameters, time: np.ndarray) -> np.ndarray:
        """Return the purchases after the first expected of a new customer in a time, E[X(t)]."""

    def log_likelihood(self, parameters: Parameters, histories: Histories) -> np.ndarray:
        """Return the log-likelihood of each distinct history, of one customer."""
        return self.terms(parameters, histories)[0]

    def expected_purchases(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        last_at: np.ndarray,
        observed: np.ndarray,
        horizon: float,
    ) -> np.ndarray:
        """Return the purchases each customer is expected to make within the horizon from now."""
        alive = self.probability_alive(parameters, repeat_count, last_at, observed)
        return alive * self.expected_if_alive(parameters, repeat_count, observed, horizon)

    def repurchase_probability(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        last_at: np.ndarray,
        observed: np.ndarray,
        horizon: float,
    ) -> np.ndarray:
        """Return the chance of at least one purchase within the horizon from now."""
        alive = self.probability_alive(parameters, repeat_count, last_at, observed)
        return alive * self.return_if_alive(parameters, repeat_count, observed, horizon)

    def median_wait(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        last_at: np.ndarray,
        observed: np.ndarray,
    ) -> np.ndarray:
        """Return the time from now by which a customer who stays buys with a chance of one half.

        The rate of an active customer is Gamma(r + x, alpha + T), so the wait is Lomax distributed;
        infinite where a double cannot hold it.
        """
        r, alpha = parameters[:2]
        with np.errstate(over="ignore"):
            return (alpha + observed) * np.expm1(np.log(2) / (r + repeat_count))

    def simulate(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        last_at: np.ndarray,
        observed: np.ndarray,
        horizon: float,
        rng: np.random.Generator,
        alive_chance: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the future of each customer once, jointly.

        Args:
            parameters: Of the model.
            repeat_count: Purchases after the first.
            last_at: Time of the last one since the first.
            observed: Time since the first.
            horizon: Time from now.
            rng: Source of the draws.
            alive_chance: The chance that each has not left, if it is known already.

        Returns:
            Purchases within the horizon from now, and the time within it until the customer leaves;
            both of shape (customers,).
        """
        count, active = np.zeros(len(observed)), np.zeros(len(observed))
        if alive_chance is None:
            alive_chance = self.probability_alive(parameters, repeat_count, last_at, observed)
        alive = np.flatnonzero(rng.random(len(observed)) < alive_chance)
        count[alive], active[alive] = self._simulate_alive(
            parameters, repeat_count[alive], observed[alive], horizon, rng
        )
        return count, active

    @abstractmethod
    def expected_if_alive(
        self, parameters: Parameters, repeat_count: np.ndarray, observed: np.ndarray, horizon: float
    ) -> np.ndarray:
        """Return the purchases within the horizon expected of customers who have not left yet."""

    def return_if_alive(
        self, parameters: Parameters, repeat_count: np.ndarray, observed: np.ndarray, horizon: float
    ) -> np.ndarray:
        """Return the chance of a purchase within the horizon of customers who have not left yet."""
        # Nobody leaves before the next purchase.
        r, alpha = parameters[:2]
        return -np.expm1(-(r + repeat_count) * np.log1p(horizon / (alpha + observed)))

    @abstractmethod
    def _simulate_alive(
        self,
        parameters: Parameters,
        repeat_count: np.ndarray,
        observed: np.ndarray,
        horizon: float,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]: ...


def in_blocks(function: Callable[..., np.ndarray], *columns: np.ndarray) -> np.ndarray:
    """Apply a function of rows to some rows at a time, whose nodes fit the processor's cache."""
    starts = range(0, max(len(columns[0]), 1), BLOCK_ROWS)
    blocks = ([column[start : start + BLOCK_ROWS] for column in columns] for start in starts)
    return np.concatenate([function(*block) for block in blocks], axis=-1)


def draw_purchases(
    parameters: Parameters,
    repeat_count: np.ndarray,
    observed: np.ndarray,
    time: np.ndarray | float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the purchases of active customers who stay for a time."""
    r, alpha = parameters[:2]
    rate = rng.standard_gamma(r + repeat_count) / (alpha + observed)
    return rng.poisson(np.minimum(rate * time, 1e9))
