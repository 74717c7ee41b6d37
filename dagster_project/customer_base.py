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
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, hyp2f1

Parameters = np.ndarray | Sequence[float]

# Twice the gain in log-likelihood over NBD that two more parameters reach by chance in one case of
# twenty (chi squared with two degrees of freedom: 5.99).
DROP_OUT_GAIN = 6.0
# A parameter beyond these has no meaning left: the customers are all alike, or nobody leaves. Times
# are measured in the mean time observed.
BOUNDS = np.log([1e-5, 1e5])
# Starts are compared on so many grouped rows before the best is followed on all.
TRIAL_ROWS = 1_000
# Largest slope of the mean log-likelihood per customer that still counts as the top.
FLAT = 1e-4
# Standard error of a logarithm beyond which a parameter is as good as unknown.
WIDEST_ERROR = 2.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
# Beyond exp(-30) of its start an integrand adds nothing that a double could hold.
NEGLIGIBLE = 30.0


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
        gone = _expit(odds)
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
        return _expit(-self._log_odds_gone(parameters, repeat_count, last_at, observed))

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

        Fader, Hardie and Lee (2005), equation 10, with Euler's transformation of the hypergeometric
        function, whose terms then stay small however great the counts are.
        """
        r, alpha, a, b = parameters
        # The limit at a = 1 exists, the formula does not.
        less = a - 1 if abs(a - 1) > 1e-6 else 1e-6
        total = less + b + repeat_count + self.first
        share = horizon / (alpha + observed + horizon)
        series = hyp2f1(less + b + self.first - r, less, total, share)
        return total / less * (1 - np.exp(less * np.log1p(-share)) * series)

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
        observed = histories.observed
        integral = _DropOut.integrate(parameters, shape, histories.last_at, observed)
        alive = -shape * np.log(alpha + observed) - s * np.log(beta + observed)
        odds = np.log(s) + integral.logarithm - alive
        gone = _expit(odds)
        value = (
            gammaln(shape)
            - gammaln(r)
            + r * np.log(alpha)
            + s * np.log(beta)
            + alive
            + np.logaddexp(0, odds)
        )
        log_alpha, log_beta, per_alpha, per_beta = integral.means
        slopes = np.array(
            [
                digamma(shape)
                - digamma(r)
                + np.log(alpha)
                - (1 - gone) * np.log(alpha + observed)
                - gone * log_alpha,
                r / alpha - shape * ((1 - gone) / (alpha + observed) + gone * per_alpha),
                np.log(beta) - (1 - gone) * np.log(beta + observed) + gone * (1 / s - log_beta),
                s / beta - (1 - gone) * s / (beta + observed) - gone * (s + 1) * per_beta,
            ]
        )
        return value, slopes

    def probability_alive(self, parameters, repeat_count, last_at, observed):
        """Return 1 / (1 + s (alpha + T)^(r + x) (beta + T)^s * the integral of the likelihood)."""
        r, alpha, s, beta = parameters
        shape = r + repeat_count
        integral = _DropOut.integrate(parameters, shape, last_at, observed)
        odds = (
            np.log(s)
            + integral.logarithm
            + shape * np.log(alpha + observed)
            + s * np.log(beta + observed)
        )
        return _expit(-odds)

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
        shape, end = r + repeat_count, observed + horizon
        integral = _DropOut.integrate(parameters, shape, observed, end)
        before = shape * np.log(alpha + observed) + s * np.log(beta + observed)
        stays = before - shape * np.log(alpha + end) - s * np.log(beta + end)
        leaves = np.log(s) + integral.logarithm + before
        return np.clip(1 - np.exp(stays) - np.exp(leaves), 0, 1)

    def _simulate_alive(self, parameters, repeat_count, observed, horizon, rng):
        _, _, s, beta = parameters
        with np.errstate(over="ignore"):
            stay = (beta + observed) * np.expm1(rng.standard_exponential(len(observed)) / s)
        active = np.minimum(stay, horizon)
        count = _draw_purchases(parameters, repeat_count, observed, active, rng)
        return count, active


@dataclass(frozen=True)
class _DropOut:
    """The integral of dy / (alpha + y)^shape / (beta + y)^(s + 1), and means under its integrand.

    Attributes:
        logarithm: Of the integral; minus infinity over nothing.
        means: Of log(alpha + y), log(beta + y), 1 / (alpha + y) and 1 / (beta + y).
    """

    logarithm: np.ndarray
    means: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def integrate(
        cls, parameters: Parameters, shape: np.ndarray, start: np.ndarray, end: np.ndarray
    ) -> "_DropOut":
        """Integrate from start to end, by Gauss and Legendre.

        In u = log((m + y) / (m + start)), m the smaller of alpha and beta, the integrand falls ever
        faster, and is cut off where it has become negligible: no great count can make it a spike
        between the nodes.
        """
        _, alpha, s, beta = parameters
        least = min(alpha, beta)
        width = np.log((least + end) / (least + start))
        width = _cut_off(width, shape, s, alpha, beta, least, start)
        u = width * (NODES[:, None] + 1) / 2
        y = (least + start) * np.exp(u) - least
        in_alpha, in_beta = alpha + y, beta + y
        log_alpha, log_beta = np.log(in_alpha), np.log(in_beta)
        exponent = u - shape * log_alpha - (s + 1) * log_beta
        highest = exponent.max(axis=0)
        value = np.exp(exponent - highest) * WEIGHTS[:, None]
        total = value.sum(axis=0)
        with np.errstate(divide="ignore"):
            logarithm = highest + np.log(total * width / 2) + np.log(least + start)
        value /= total
        means = (value * log_alpha, value * log_beta, value / in_alpha, value / in_beta)
        return cls(logarithm, tuple(mean.sum(axis=0) for mean in means))


def _cut_off(
    width: np.ndarray,
    shape: np.ndarray,
    s: float,
    alpha: float,
    beta: float,
    least: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return where the integrand has fallen to exp(-30) of its start, or the whole width.

    The fall is convex in u, so Newton's steps from beyond it come down to it and never past.
    """
    scale = least + start
    for _ in range(12):
        grown = scale * np.exp(width)
        in_alpha, in_beta = alpha - least + grown, beta - least + grown
        fall = (
            shape * np.log(in_alpha / (alpha + start))
            + (s + 1) * np.log(in_beta / (beta + start))
            - width
        )
        too_far = fall > NEGLIGIBLE
        if not too_far.any():
            break
        slope = shape * grown / in_alpha + (s + 1) * grown / in_beta - 1
        step = np.where(too_far, (fall - NEGLIGIBLE) / np.where(too_far, slope, 1.0), 0.0)
        if (step < 1e-3 * width).all():
            break
        width = width - step
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


def _expit(odds: np.ndarray) -> np.ndarray:
    """Return odds, given as logarithm, as a chance."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-odds))


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
    unit = float(np.average(histories.observed, weights=histories.weight)) or 1.0
    scaled = replace(
        histories, last_at=histories.last_at / unit, observed=histories.observed / unit
    )
    units = np.array([unit if parameter in model.times else 1.0 for parameter in model.names])
    # A likelihood of times has the unit of a rate to the power of its purchases.
    shift = float(histories.repeat_count @ histories.weight) * np.log(unit)
    return _fit(name, model.names, model.terms, scaled, model.starts, units, shift)


GAMMA_GAMMA = "gamma_gamma"


def fit_gamma_gamma(values: OrderValues) -> Fit:
    """Fit the Gamma-Gamma model of order values (Fader and Hardie 2013): (p, q, gamma).

    A customer's orders are Gamma(p, nu) distributed, nu is Gamma(q, gamma) over customers, and
    neither depends on how often they buy. Nothing is raised; see `fit`.
    """
    names = ("p", "q", "gamma")
    if not len(values.weight):
        nothing = np.full((3, 3), np.nan)
        missing = dict.fromkeys(names, np.nan)
        return Fit(GAMMA_GAMMA, missing, np.nan, 0, nothing, "no repeat purchase has a value")
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

    def slope_of(some: Histories | OrderValues) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        size = some.weight.sum()

        def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
            inside = np.clip(point, *BOUNDS)
            value, slopes = terms(np.exp(inside), some)
            mean, slope = value @ some.weight / size, slopes @ some.weight / size
            if not np.isfinite(mean) or not np.isfinite(slope).all():
                return 1e10, np.zeros(len(point))
            # Beyond the bounds it is as far uphill as the point is away from them.
            beyond = point - inside
            return -mean + beyond @ beyond, -slope * np.exp(inside) * (beyond == 0) + 2 * beyond

        return negative

    def descend(
        objective: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, flat: float
    ) -> tuple[float, np.ndarray]:
        found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": flat})
        return float(found.fun), found.x

    trial, full = slope_of(_thinned(rows)), slope_of(rows)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        _, best = min(
            (descend(trial, np.log(start), FLAT) for start in starts), key=lambda found: found[0]
        )
        value, point = descend(full, best, FLAT / 100)
        _, slope = full(point)
        curvature = _curvature(full, point) * rows.weight.sum()
    point = np.clip(point, *BOUNDS)
    inside = (point > BOUNDS[0]) & (point < BOUNDS[1])
    count = int(rows.weight.sum())
    log_likelihood = -value * rows.weight.sum() - shift
    reason = None
    if not np.isfinite(log_likelihood) or value >= 1e10:
        reason = "the fit found no likelihood"
    elif (np.abs(slope[inside]) > FLAT).any():
        reason = "the fit did not converge"
    return Fit(
        name,
        dict(zip(names, (np.exp(point) * units).tolist(), strict=True)),
        float(log_likelihood),
        count,
        _covariance(curvature),
        reason,
    )


def _thinned(rows: "Histories | OrderValues") -> "Histories | OrderValues":
    """Return some of the rows, evenly taken."""
    step = -(-len(rows.weight) // TRIAL_ROWS)
    return type(rows)(**{one.name: getattr(rows, one.name)[::step] for one in fields(rows)})


def _curvature(
    slope_of: Callable[[np.ndarray], tuple[float, np.ndarray]], point: np.ndarray
) -> np.ndarray:
    """Return the second derivatives, by differences of the slopes."""
    step = 1e-4
    rows = [
        (slope_of(point + shift)[1] - slope_of(point - shift)[1]) / (2 * step)
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
