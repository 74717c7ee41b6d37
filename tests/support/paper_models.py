"""Models of a customer base as the papers write them, one customer at a time in plain Python.

A history is x, t_x and T: repeat purchases, weeks from the first to the last, weeks observed; h are
the weeks ahead.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1


@dataclass(frozen=True)
class MbgNbd:
    """Batislam, Denizel and Filiztekin (2007), with Gauss's hypergeometric function."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, x: int, t_x: float, end: float) -> float:
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        stayed = beta_log(a, b + x + 1) - (r + x) * math.log(alpha + end)
        left = beta_log(a + 1, b + x) - (r + x) * math.log(alpha + t_x)
        buying = gammaln(r + x) - gammaln(r) + r * math.log(alpha)
        return buying - beta_log(a, b) + np.logaddexp(stayed, left)

    def alive(self, x: int, t_x: float, end: float) -> float:
        growth = ((self.alpha + end) / (self.alpha + t_x)) ** (self.r + x)
        return 1 / (1 + self.a / (self.b + x) * growth)

    def returns(self, x: int, t_x: float, end: float, h: float) -> float:
        buys_not = ((self.alpha + end) / (self.alpha + end + h)) ** (self.r + x)
        return self.alive(x, t_x, end) * (1 - buys_not)

    def purchases(self, x: int, t_x: float, end: float, h: float) -> float:
        r, alpha, a, b = self.r, self.alpha, self.a, self.b + 1
        shrink = ((alpha + end) / (alpha + end + h)) ** (r + x)
        series = hyp2f1(r + x, b + x, a + b + x - 1, h / (alpha + end + h))
        return self.alive(x, t_x, end) * (a + b + x - 1) / (a - 1) * (1 - shrink * series)


@dataclass(frozen=True)
class ParetoNbd:
    """Schmittlein, Morrison and Colombo (1987), the integral over the day of leaving by quadrature.

    Expected purchases: Fader and Hardie (2005), "A note on deriving the Pareto/NBD model".
    """

    r: float
    alpha: float
    s: float
    beta: float

    def alive(self, x: int, t_x: float, end: float) -> float:
        shape = self.r + x

        def odds(y: float) -> float:
            rising = ((self.alpha + end) / (self.alpha + y)) ** shape
            return self.s * rising * (self.beta + end) ** self.s / (self.beta + y) ** (self.s + 1)

        return 1 / (1 + quad(odds, t_x, end, epsabs=1e-12, limit=200)[0])

    def purchases(self, x: int, t_x: float, end: float, h: float) -> float:
        rate, late = (self.r + x) / (self.alpha + end), self.beta + end
        active = late / (self.s - 1) * (1 - (late / (late + h)) ** (self.s - 1))
        return self.alive(x, t_x, end) * rate * active

    def median_wait(self, x: int, end: float) -> float:
        return (self.alpha + end) * (2 ** (1 / (self.r + x)) - 1)


@dataclass(frozen=True)
class GammaGamma:
    """Fader and Hardie (2013)."""

    p: float
    q: float
    gamma: float

    def log_likelihood(self, x: int, mean: float) -> float:
        p, q, gamma = self.p * x, self.q, self.gamma
        total = x * mean
        return (
            -beta_log(p, q)
            + q * math.log(gamma)
            - p * math.log(gamma + total)
            - q * math.log(gamma + total)
            + p * math.log(total)
            - math.log(mean)
        )

    def order_value(self, x: int, mean: float) -> float:
        own = self.p * x / (self.p * x + self.q - 1)
        return own * mean + (1 - own) * self.p * self.gamma / (self.q - 1)


def beta_log(a: float, b: float) -> float:
    return gammaln(a) + gammaln(b) - gammaln(a + b)
