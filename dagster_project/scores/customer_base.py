"""Models of a customer base: how often customers buy, whether they left, what an order is worth.

Belongs here: likelihoods, fits, forecasts and draws of NBD, BG/NBD, MBG/NBD, Pareto/NBD and
Gamma-Gamma. Pure functions over arrays; what they are fed with and which of them publishes is
decided in `score_choice`.

A customer's history is `repeat_count` (purchases after the first), `last_at` (time of the last one
since the first, 0 without any) and `observed` (time since the first purchase), in any one unit of
time; every array has shape (customers,). While active a customer buys at random times at a rate of
their own, Gamma(r, alpha) over customers. The models differ in how customers leave:

- NBD: never (Ehrenberg 1959).
- BG/NBD: after each purchase but the first, with a chance of their own, Beta(a, b) (Fader, Hardie
  and Lee 2005, "Counting your customers the easy way").
- MBG/NBD: the same, also after the first (Batislam, Denizel and Filiztekin 2007).
- Pareto/NBD: at any time, at a rate of their own, Gamma(s, beta) (Schmittlein, Morrison and Colombo
  1987).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.special import digamma, expit, gammaln

Parameters = np.ndarray | Sequence[float]

# Twice the gain in log-likelihood over NBD that two more parameters reach by chance in one case of
# twenty (chi squared with two degrees of freedom: 5.99).
DROP_OUT_GAIN = 6.0
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
# Of Gauss and Legendre between 0 and 1; shape (nodes, 1).
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(20)
NODES, WEIGHTS = (_POINTS[:, None] + 1) / 2, _WEIGHTS[:, None] / 2
# For functions that vanish at both ends.
EVEN_NODES = np.linspace(0, 1, 48)[:, None]
# Below exp(-25) of its top an integrand adds nothing.
NEGLIGIBLE = 25.0
# So many rows by nodes fit a processor's cache.
BLOCK_ROWS = 2_048


@dataclass(frozen=True)
class Limits:
    """How much data a fit takes.

    Attributes:
        buyers: Customers.
        days: Days from the first purchase of any of them.
        repeat_buyers: Customers with more than one purchase.
    """

    buyers: int = 500
    days: int = 180
    repeat_buyers: int = 50

    def reason(self, repeat_count: np.ndarray, days_observed: np.ndarray) -> str | None:
        """Return why the customers are too few, or None."""
        days = int(days_observed.max(initial=0))
        for found, needed, what in (
            (len(repeat_count), self.buyers, "buyers"),
            (days, self.days, "days of data"),
            (int((repeat_count > 0).sum()), self.repeat_buyers, "buyers with a second purchase"),
        ):
            if found < needed:
                return f"too little data: {found:,} {what} of the {needed:,} needed"
        return None


@dataclass(frozen=True)
class Histories:
    """Distinct histories and how many customers have each, so that a fit need not grow with them.

    Attributes:
        repeat_count: Purchases after the first.
        last_at: Time of the last purchase since the first.
        observed: Time since the first purchase.
        weight: Customers with this history.
    """

    repeat_count: np.ndarray
    last_at: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @classmethod
    def grouped(
        cls, repeat_count: np.ndarray, last_at: np.ndarray, observed: np.ndarray
    ) -> "Histories":
        """Group the histories of customers."""
        return cls(*_grouped(repeat_count, last_at, observed))


@dataclass(frozen=True)
class OrderValues:
    """Distinct pairs of repeat purchases and their mean value, for customers who have any.

    Attributes:
        repeat_count: Purchases after the first, above zero.
        mean_value: Their mean value, above zero.
        weight: Customers with this pair.
    """

    repeat_count: np.ndarray
    mean_value: np.ndarray
    weight: np.ndarray

    @classmethod
    def grouped(cls, repeat_count: np.ndarray, mean_value: np.ndarray) -> "OrderValues":
        """Group the customers who have a repeat purchase of some value."""
        has_value = (repeat_count > 0) & (mean_value > 0)
        return cls(*_grouped(repeat_count[has_value], mean_value[has_value]))


def _grouped(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    rows = np.column_stack([np.asarray(column, dtype=float) for column in columns])
    distinct, weight = np.unique(rows, axis=0, return_counts=True)
    return *distinct.T, weight.astype(float)


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

    def return_probability(
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
        count = _draw_purchases(parameters, repeat_count, observed, horizon, rng)
        return count, np.full(len(observed), horizon)


@dataclass(frozen=True)
class BetaGeometric(Model):
    """Customers leave after a purchase: (r, alpha, a, b).

    Attributes:
        first: 1 if they may leave after the first purchase too (MBG/NBD), else 0 (BG/NBD).
    """

    first: int

    names = ("r", "alpha", "a", "b")
    times = frozenset({"alpha"})
    starts = ((0.5, 0.5, 1.0, 2.0), (2.0, 2.0, 0.5, 5.0), (0.2, 0.1, 1.0, 1.0))

    def terms(self, parameters: Parameters, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithm of the likelihood and its slopes.

        G(r + x) alpha^r / G(r) * (B(a, b + n) / B(a, b) / (alpha + T)^(r + x)
        + B(a + 1, b + n - 1) / B(a, b) / (alpha + t_x)^(r + x)), where n = x for BG/NBD, whose
        second term is there only for x > 0, and n = x + 1 for MBG/NBD.
        """
        r, alpha, a, b = parameters
        chances = histories.repeat_count + self.first
        shape = r + histories.repeat_count
        logarithm = np.log(alpha + histories.observed)
        odds = self._log_odds_gone(
            parameters, histories.repeat_count, histories.last_at, histories.observed
        )
        gone = expit(odds)
        value = (
            gammaln(shape)
            - gammaln(r)
            + r * np.log(alpha)
            - shape * logarithm
            + gammaln(b + chances)
            - gammaln(b)
            + gammaln(a + b)
            - gammaln(a + b + chances)
            + np.logaddexp(0, odds)
        )
        # Where nobody can have left, the value does not matter but must exist.
        stayed = np.where(chances > 0, b + chances - 1, 1.0)
        total = digamma(a + b) - digamma(a + b + chances)
        slopes = np.array(
            [
                digamma(shape)
                - digamma(r)
                + np.log(alpha)
                - (1 - gone) * logarithm
                - gone * np.log(alpha + histories.last_at),
                r / alpha
                - shape
                * ((1 - gone) / (alpha + histories.observed) + gone / (alpha + histories.last_at)),
                total + gone / a,
                total + digamma(b + chances) - digamma(b) - gone / stayed,
            ]
        )
        return value, slopes

    def probability_alive(self, parameters, repeat_count, last_at, observed):
        """Return 1 / (1 + a / (b + n - 1) * ((alpha + T) / (alpha + t_x))^(r + x))."""
        return expit(-self._log_odds_gone(parameters, repeat_count, last_at, observed))

    def expected_new_purchases(self, parameters, time):
        """Return E[X(t)]; BG/NBD: equation 9 of Fader, Hardie and Lee (2005)."""
        _, _, a, b = parameters
        time = np.asarray(time, dtype=float)
        nobody = np.zeros_like(time)
        # A new customer is an active one of whom nothing was seen yet; one who may leave after
        # the first purchase stays with a chance of b / (a + b).
        stays = b / (a + b) if self.first else 1.0
        return stays * self.expected_if_alive(parameters, nobody, nobody, time)

    def _log_odds_gone(self, parameters, repeat_count, last_at, observed):
        r, alpha, a, b = parameters
        chances = repeat_count + self.first
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.log(a / np.where(chances > 0, b + chances - 1, 1.0))
        growth = (r + repeat_count) * np.log((alpha + observed) / (alpha + last_at))
        return np.where(chances > 0, odds + growth, -np.inf)

    def expected_if_alive(self, parameters, repeat_count, observed, horizon):
        """Return the mean of (1 - exp(-rate p t)) / p over rate and p of an active customer.

        Fader, Hardie and Lee (2005), before their equation 10, whose hypergeometric function loses
        all digits where a and b are large or a is close to 1.
        """
        r, alpha, a, b = parameters
        growth = horizon / (alpha + observed)
        mean = partial(_mean_until_left, a)
        return _in_blocks(mean, b + repeat_count + self.first, r + repeat_count, growth)

    def _simulate_alive(self, parameters, repeat_count, observed, horizon, rng):
        _, _, a, b = parameters
        count = _draw_purchases(parameters, repeat_count, observed, horizon, rng).astype(float)
        active = np.full(len(observed), float(horizon))
        buyers = np.flatnonzero(count)
        chance = rng.beta(a, b + repeat_count[buyers] + self.first)
        # A chance that rounds to zero never comes.
        last = rng.geometric(np.maximum(chance, 1e-12)).astype(float)
        # Purchases are spread evenly, so the n-th of N comes at n / (N + 1) on average.
        leaves = buyers[last <= count[buyers]]
        last = last[last <= count[buyers]]
        active[leaves] = horizon * last / (count[leaves] + 1)
        count[leaves] = last
        return count, active


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
        odds, log_alpha, log_beta, per_alpha, per_beta = _in_blocks(
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
        return _in_blocks(odds_only, parameters[0] + repeat_count, start, end)[0]

    def _simulate_alive(self, parameters, repeat_count, observed, horizon, rng):
        _, _, s, beta = parameters
        with np.errstate(over="ignore"):
            stay = (beta + observed) * np.expm1(rng.standard_exponential(len(observed)) / s)
        active = np.minimum(stay, horizon)
        count = _draw_purchases(parameters, repeat_count, observed, active, rng)
        return count, active


def _in_blocks(function: Callable[..., np.ndarray], *columns: np.ndarray) -> np.ndarray:
    """Apply a function of rows to some rows at a time, whose nodes fit the processor's cache."""
    starts = range(0, max(len(columns[0]), 1), BLOCK_ROWS)
    blocks = ([column[start : start + BLOCK_ROWS] for column in columns] for start in starts)
    return np.concatenate([function(*block) for block in blocks], axis=-1)


def _mean_until_left(a: float, b: np.ndarray, shape: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Return the mean of g(p) = (1 - (1 + growth p)^-shape) / p over p, Beta(a, b) distributed.

    The line from g(0) to g(1) has a plain mean. What g lies below it vanishes at both ends, so that
    its mean is one under Beta(a + 1, b + 1), which even the smallest a and b keep from the ends;
    it is summed over evenly spaced logarithms of the odds of p, which is exact to many digits for
    smooth densities that have fallen to nothing at both ends.
    """
    at_zero, at_one = shape * growth, -np.expm1(-shape * np.log1p(growth))
    low, high = _reach_of_log_odds(a + 1, b + 1)
    log_odds = low + (high - low) * EVEN_NODES
    against = np.exp(-log_odds)
    chance = 1 / (1 + against)
    rest = against * chance
    log_chance = -np.log1p(against)
    density = (a + 1 + b + 1) * log_chance - (b + 1) * log_odds
    weight = np.exp(density - density.max(axis=0))
    value = -np.expm1(-shape * np.log1p(growth * chance)) / chance
    below = (rest * at_zero + chance * at_one - value) / (rest * chance)
    mean = (weight * below).sum(axis=0) / weight.sum(axis=0)
    total = a + b
    return (b * at_zero + a * at_one) / total - a * b / (total * (total + 1)) * mean


def _reach_of_log_odds(a: float, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return between which logarithms of the odds all but nothing of Beta(a, b) lies; a, b >= 1.

    At a distance d below its mode their density has fallen by at least c d^2 / (2 + d b / (a + b))
    in logarithm, where c = a b / (a + b) is its curvature there; above, a takes the place of b.
    """
    mode, curvature = np.log(a / b), a * b / (a + b)

    def reach(share: np.ndarray) -> np.ndarray:
        linear = NEGLIGIBLE * share
        return (linear + np.sqrt(linear**2 + 8 * curvature * NEGLIGIBLE)) / (2 * curvature)

    return mode - reach(b / (a + b)), mode + reach(a / (a + b))


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


def _draw_purchases(
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


MODELS: dict[str, Model] = {
    "nbd": Nbd(),
    "bg_nbd": BetaGeometric(first=0),
    "mbg_nbd": BetaGeometric(first=1),
    "pareto_nbd": ParetoNbd(),
}
"""The models of purchases by name."""


def fit(name: str, histories: Histories) -> Fit:
    """Fit a model by maximum likelihood.

    Several starts are compared on a part of the histories, the best is followed on all. Nothing is
    raised for data that no model fits: the result's `reason` says what is wrong.

    Args:
        name: A key of `MODELS`.
        histories: In any unit of time.
    """
    model = MODELS[name]
    if not histories.repeat_count.any():
        return _no_fit(name, model.names, histories, "nobody bought again")
    unit = float(np.average(histories.observed, weights=histories.weight))
    scaled = replace(
        histories, last_at=histories.last_at / unit, observed=histories.observed / unit
    )
    units = np.array([unit if parameter in model.times else 1.0 for parameter in model.names])
    # A likelihood of times has the unit of a rate to the power of its purchases.
    shift = (histories.repeat_count * histories.weight).sum() * np.log(unit)
    return _fit(name, model.names, model.terms, scaled, model.starts, units, shift)


GAMMA_GAMMA = "gamma_gamma"


def fit_gamma_gamma(values: OrderValues) -> Fit:
    """Fit the Gamma-Gamma model of order values (Fader and Hardie 2013): (p, q, gamma).

    A customer's orders are Gamma(p, nu) distributed, nu is Gamma(q, gamma) over customers, and
    neither depends on how often they buy. Nothing is raised; see `fit`.
    """
    names = ("p", "q", "gamma")
    if not len(values.weight):
        return _no_fit(GAMMA_GAMMA, names, values, "no repeat purchase has a value")
    unit = float(np.average(values.mean_value, weights=values.weight))
    scaled = replace(values, mean_value=values.mean_value / unit)
    result = _fit(
        GAMMA_GAMMA,
        names,
        _gamma_gamma_terms,
        scaled,
        ((5.0, 3.0, 0.5), (1.0, 5.0, 5.0), (20.0, 2.0, 0.1)),
        np.array([1.0, 1.0, unit]),
        float(values.weight.sum()) * np.log(unit),
    )
    if result.reason is None and result.parameters["q"] <= 1:
        return replace(result, reason="order values spread so far that they have no mean (q <= 1)")
    return result


def _gamma_gamma_terms(
    parameters: Parameters, values: OrderValues
) -> tuple[np.ndarray, np.ndarray]:
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


def identifies_drop_out(fitted: Fit, nbd: Fit) -> bool:
    """Return whether a model in which customers leave is beyond chance likelier than NBD."""
    return 2 * (fitted.log_likelihood - nbd.log_likelihood) >= DROP_OUT_GAIN


_Terms = Callable[[Parameters, Any], tuple[np.ndarray, np.ndarray]]


def _fit(
    name: str,
    names: Sequence[str],
    terms: _Terms,
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


def _no_fit(name: str, names: Sequence[str], rows: Histories | OrderValues, reason: str) -> Fit:
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
