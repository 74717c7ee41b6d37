"""Customers of the logs and made-up ones, as the customer-base models take them.

The likelihoods stand here once more as the papers write them, in plain Python.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.special import betaln, gammaln
from support.purchase_logs import PurchaseLog

from dagster_project.scores.customer_base import purchase_models
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import GAMMA_GAMMA, fit_gamma_gamma
from dagster_project.scores.customer_base.histories import Histories, OrderValues
from dagster_project.scores.customer_base.purchase_models import MODELS

DAYS_PER_WEEK = 7

DROP_OUT_MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd")

TRUTH = {
    "nbd": {"r": 0.8, "alpha": 10.0},
    "bg_nbd": {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.5},
    "mbg_nbd": {"r": 0.9, "alpha": 5.0, "a": 0.6, "b": 1.5},
    "pareto_nbd": {"r": 0.8, "alpha": 6.0, "s": 0.7, "beta": 10.0},
}

ORDER_TRUTH = {"p": 6.0, "q": 4.0, "gamma": 15.0}


@dataclass(frozen=True)
class Buyers:
    """Histories in weeks as of a day, and what followed; every array has shape (customers,)."""

    repeat_count: np.ndarray
    last_at: np.ndarray
    observed: np.ndarray
    mean_value: np.ndarray
    next_count: np.ndarray

    @classmethod
    def as_of(cls, log: PurchaseLog, end: date) -> "Buyers":
        rows = []
        for days in log.values():
            known = [day for day in days if day <= end]
            if known:
                first, *repeats = known
                rows.append(
                    (
                        len(repeats),
                        (known[-1] - first).days / DAYS_PER_WEEK,
                        (end - first).days / DAYS_PER_WEEK,
                        sum(days[day] for day in repeats) / max(len(repeats), 1),
                        len(days) - len(known),
                    )
                )
        return cls(*np.array(rows, dtype=float).T)

    @property
    def history(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.repeat_count, self.last_at, self.observed

    def fits(self) -> dict[str, Fit]:
        histories = Histories.grouped(*self.history)
        fits = {name: purchase_models.fit(name, histories) for name in MODELS}
        fits[GAMMA_GAMMA] = fit_gamma_gamma(OrderValues.grouped(self.repeat_count, self.mean_value))
        return fits


def plain_log_likelihood(model: str, parameters: list[float], rows: Histories) -> np.ndarray:
    """Return each row's log-likelihood as the papers write it."""
    x, t, end = rows.repeat_count, rows.last_at, rows.observed
    r, alpha, *leaving = parameters
    bought = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = -(r + x) * np.log(alpha + end)
    left = -(r + x) * np.log(alpha + t)
    if model == "nbd":
        return bought + stayed
    if model == "pareto_nbd":
        s, beta = leaving
        # Denser towards the last purchase, where the integrand is highest.
        node, weight = np.polynomial.legendre.leggauss(40)
        share, weight = (node[:, None] + 1) / 2, weight[:, None] / 2
        y = t + (end - t) * share**2
        fall = (r + x) * np.log((alpha + y) / (alpha + t)) + (s + 1) * np.log(
            (beta + y) / (beta + t)
        )
        integral = (2 * share * weight * np.exp(-fall)).sum(axis=0) * (end - t)
        with np.errstate(divide="ignore"):
            gone = left + np.log(s) - (s + 1) * np.log(beta + t) + np.log(integral)
        return bought + s * np.log(beta) + np.logaddexp(stayed - s * np.log(beta + end), gone)
    a, b = leaving
    chances = x if model == "bg_nbd" else x + 1
    survived = betaln(a, b + chances) - betaln(a, b) + stayed
    gone = betaln(a + 1, np.maximum(b + chances - 1, b)) - betaln(a, b) + left
    return bought + np.logaddexp(survived, np.where(chances > 0, gone, -np.inf))


def made_up_customer(
    model: str, truth: dict[str, float], end: float, dice: random.Random
) -> list[float]:
    """Return when a customer buys after the first purchase, until they leave or to the end."""
    r, alpha, *leaving = truth.values()
    rate = dice.gammavariate(r, 1 / alpha)
    leaves_at, chance = end, 0.0
    if model == "pareto_nbd":
        s, beta = leaving
        leaves_at = min(end, dice.expovariate(dice.gammavariate(s, 1 / beta)))
    elif model != "nbd":
        chance = dice.betavariate(*leaving)
    bought, time = [], 0.0
    has_left = model == "mbg_nbd" and dice.random() < chance
    while not has_left:
        time += dice.expovariate(rate)
        if time > leaves_at:
            break
        bought.append(time)
        has_left = dice.random() < chance
    return bought


def made_up_histories(
    model: str, seed: int, count: int, truth: dict[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, t_x, T) as they were and as whole days tell them; shapes (3, customers)."""
    dice = random.Random(f"{model} {seed}")
    exact, by_day = [], []
    for _ in range(count):
        observed, hour = dice.uniform(20, 80), dice.random() / DAYS_PER_WEEK
        days = int(observed * DAYS_PER_WEEK)
        # The last day is seen to its end.
        observed = (days + 1) / DAYS_PER_WEEK - hour
        bought = made_up_customer(model, truth or TRUTH[model], observed, dice)
        exact.append((len(bought), max(bought, default=0.0), observed))
        bought_on = {int((time + hour) * DAYS_PER_WEEK) for time in bought} - {0}
        by_day.append(
            (len(bought_on), max(bought_on, default=0) / DAYS_PER_WEEK, days / DAYS_PER_WEEK)
        )
    return np.array(exact, dtype=float).T, np.array(by_day, dtype=float).T


def made_up_order_values(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    dice = random.Random(f"gamma_gamma {seed}")
    p, q, gamma = ORDER_TRUTH.values()
    counts, means = [], []
    for _ in range(count):
        scale = 1 / dice.gammavariate(q, 1 / gamma)
        counts.append(dice.randint(1, 6))
        means.append(np.mean([dice.gammavariate(p, scale) for _ in range(counts[-1])]))
    return np.array(counts, dtype=float), np.array(means)


def differences(value: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    steps = 1e-5 * np.diag(point)
    return np.array(
        [(value(point + step) - value(point - step)) / 2 / step.sum() for step in steps]
    )
