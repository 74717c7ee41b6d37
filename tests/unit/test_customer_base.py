"""Customer-base models, against published figures, other programs and the formulas in plain Python.

`../shared/reference/cdnow.md` lists the published figures and where they are from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import lifetimes
import numpy as np
import pytest
from purchase_logs import READERS, PurchaseLog
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

from dagster_project import customer_base as base
from dagster_project.customer_base import MODELS, Fit, Histories, OrderValues

DAYS_PER_WEEK = 7
DROP_OUT_MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd")


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
        fits = {name: base.fit(name, histories) for name in MODELS}
        fits[base.GAMMA_GAMMA] = base.fit_gamma_gamma(
            OrderValues.grouped(self.repeat_count, self.mean_value)
        )
        return fits


@pytest.fixture(scope="module")
def log_of() -> Callable[[str], PurchaseLog]:
    logs = {}

    def read(name: str) -> PurchaseLog:
        if name not in logs:
            logs[name] = READERS[name]()
        return logs[name]

    return read


@pytest.fixture(scope="module")
def sample(log_of: Callable[[str], PurchaseLog]) -> Buyers:
    return Buyers.as_of(log_of("cdnow_sample"), date(1997, 9, 30))


@pytest.fixture(scope="module")
def sample_fits(sample: Buyers) -> dict[str, Fit]:
    return sample.fits()


def test_the_sample_is_the_published_one(sample: Buyers) -> None:
    assert len(sample.repeat_count) == 2357
    assert sample.repeat_count.sum() == 2457
    assert sample.next_count.sum() == 1882
    assert (sample.repeat_count == 0).sum() == 1411


@pytest.mark.parametrize(
    ("model", "parameters", "log_likelihood"),
    [
        ("bg_nbd", {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, -9582.4),
        ("pareto_nbd", {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}, -9595.0),
        ("mbg_nbd", {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}, -9582.1),
        ("gamma_gamma", {"p": 6.25, "q": 3.74, "gamma": 15.44}, -4055.92),
    ],
)
def test_fits_are_the_published_ones(
    sample_fits: dict[str, Fit], model: str, parameters: dict[str, float], log_likelihood: float
) -> None:
    fitted = sample_fits[model]

    assert fitted.reason is None
    # A published figure says no more than half of its last digit.
    half_digit = 0.005 if model == "gamma_gamma" else 0.0005
    assert fitted.parameters.keys() == parameters.keys()
    for name, published in parameters.items():
        assert fitted.parameters[name] == pytest.approx(published, abs=0.005 * published)
        assert fitted.parameters[name] == pytest.approx(published, abs=1.1 * half_digit)
    assert fitted.log_likelihood == pytest.approx(log_likelihood, abs=0.05)


def test_published_mean_order_value(sample_fits: dict[str, Fit]) -> None:
    fitted = sample_fits["gamma_gamma"]

    assert fitted.customer_count == 946
    newcomer = base.expected_order_value(fitted.values, np.zeros(1), np.zeros(1))
    assert newcomer == pytest.approx(35.17, rel=0.001)


def test_published_points(sample_fits: dict[str, Fit]) -> None:
    bg_nbd, pareto_nbd = MODELS["bg_nbd"], MODELS["pareto_nbd"]
    values = sample_fits["bg_nbd"].values
    buyer = np.array([2.0]), np.array([30.43]), np.array([38.86])
    assert bg_nbd.expected_purchases(values, *buyer, 39.0) == pytest.approx(1.226, rel=0.001)
    new = bg_nbd.expected_new_purchases(values, np.array([1.0, 32.0, 78.0]))
    assert new == pytest.approx([0.0532, 1.0437, 1.858], rel=0.001)

    values = sample_fits["pareto_nbd"].values
    buyer = np.array([26.0]), np.array([30.86]), np.array([31.0])
    assert pareto_nbd.expected_purchases(values, *buyer, 52.0) == pytest.approx(25.46, rel=0.001)
    assert pareto_nbd.probability_alive(values, *buyer) == pytest.approx(0.9979, rel=0.001)


@pytest.mark.parametrize(
    ("model", "total", "mae", "rmse", "correlation"),
    [
        ("bg_nbd", 1653, 0.785, 1.608, 0.626),
        ("mbg_nbd", 1577, 0.765, 1.607, 0.627),
        ("pareto_nbd", 1666, 0.755, 1.603, 0.630),
        ("nbd", 2930, 1.041, 1.860, 0.583),
    ],
)
def test_published_holdout(
    sample: Buyers,
    sample_fits: dict[str, Fit],
    model: str,
    total: float,
    mae: float,
    rmse: float,
    correlation: float,
) -> None:
    forecast = MODELS[model].expected_purchases(sample_fits[model].values, *sample.history, 39.0)

    error = forecast - sample.next_count
    assert forecast.sum() == pytest.approx(total, abs=1)
    assert np.abs(error).mean() == pytest.approx(mae, abs=0.001)
    assert np.sqrt((error**2).mean()) == pytest.approx(rmse, abs=0.001)
    assert np.corrcoef(forecast, sample.next_count)[0, 1] == pytest.approx(correlation, abs=0.001)


def test_one_time_buyers_may_have_left(sample: Buyers, sample_fits: dict[str, Fit]) -> None:
    once = [column[sample.repeat_count == 0] for column in sample.history]
    alive = {
        name: MODELS[name].probability_alive(sample_fits[name].values, *once)
        for name in DROP_OUT_MODELS
    }

    assert alive["mbg_nbd"].min() > 0.3
    assert alive["mbg_nbd"].max() < 0.45
    assert alive["pareto_nbd"].min() > 0.29
    assert alive["pareto_nbd"].max() < 0.45
    # Why BG/NBD is never asked who is alive.
    assert (alive["bg_nbd"] == 1).all()


# Against independent fits


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


def plain_fit(model: str, rows: Histories, start: np.ndarray) -> np.ndarray:
    """Return the parameters that make the plain likelihood highest, looked for near a start."""

    def negative(point: np.ndarray) -> float:
        value = plain_log_likelihood(model, list(np.exp(point)), rows)
        return -(value @ rows.weight) / rows.weight.sum()

    options = {"xatol": 1e-4, "fatol": 1e-9}
    return np.exp(minimize(negative, np.log(start), method="Nelder-Mead", options=options).x)


INDEPENDENT = {
    "bg_nbd": lifetimes.BetaGeoFitter,
    "mbg_nbd": lifetimes.ModifiedBetaGeoFitter,
}
WHOLE_LOGS = {
    "cdnow to 1997-09-30": ("cdnow", date(1997, 9, 30)),
    "cdnow": ("cdnow", date(1998, 6, 30)),
    "completejourney": ("completejourney", date(2017, 12, 31)),
}


@pytest.fixture(scope="module", params=WHOLE_LOGS)
def whole(
    request: pytest.FixtureRequest, log_of: Callable[[str], PurchaseLog]
) -> tuple[Buyers, dict[str, Fit]]:
    name, end = WHOLE_LOGS[request.param]
    buyers = Buyers.as_of(log_of(name), end)
    return buyers, buyers.fits()


@pytest.mark.parametrize("model", MODELS)
def test_counts_agree_with_an_independent_fit(
    whole: tuple[Buyers, dict[str, Fit]], model: str
) -> None:
    buyers, fits = whole
    fitted, rows = fits[model], Histories.grouped(*buyers.history)
    if model in INDEPENDENT:
        other = INDEPENDENT[model]().fit(*buyers.history)
        independent = other.params_[list(fitted.parameters)].to_numpy()
        forecast = other.conditional_expected_number_of_purchases_up_to_time(13.0, *buyers.history)
    else:
        independent = plain_fit(model, rows, fitted.values * 1.1)
        forecast = plain_forecast(model, list(independent), buyers, 13.0)

    assert fitted.reason is None
    r, alpha, *leaving = independent
    assert fitted.parameters["r"] == pytest.approx(r, rel=0.01)
    assert fitted.parameters["alpha"] == pytest.approx(alpha, rel=0.01)
    if model in INDEPENDENT and sum(leaving) < 20:
        assert fitted.values[2:] == pytest.approx(leaving, rel=0.01)
    for parameters in (independent, fitted.values):
        plain = plain_log_likelihood(model, list(parameters), rows) @ rows.weight
        assert fitted.log_likelihood == pytest.approx(plain, abs=0.05)
    ours = MODELS[model].expected_purchases(fitted.values, *buyers.history, 13.0)
    assert np.corrcoef(ours, forecast)[0, 1] > 0.999
    assert ours.sum() == pytest.approx(np.sum(forecast), rel=0.001)


def plain_forecast(model: str, parameters: list[float], buyers: Buyers, time: float) -> np.ndarray:
    r, alpha, *leaving = parameters
    rate = (r + buyers.repeat_count) / (alpha + buyers.observed)
    if model == "nbd":
        return rate * time
    s, beta = leaving
    stayed = plain_log_likelihood("nbd", [r, alpha], buyers) + s * np.log(
        beta / (beta + buyers.observed)
    )
    alive = np.exp(stayed - plain_log_likelihood(model, parameters, buyers))
    beta_now = beta + buyers.observed
    return alive * rate * beta_now / (s - 1) * (1 - (beta_now / (beta_now + time)) ** (s - 1))


def test_order_values_agree_with_an_independent_fit(
    whole: tuple[Buyers, dict[str, Fit]],
) -> None:
    buyers, fits = whole
    has_value = (buyers.repeat_count > 0) & (buyers.mean_value > 0)
    rows = buyers.repeat_count[has_value], buyers.mean_value[has_value]
    other = lifetimes.GammaGammaFitter().fit(*rows)

    fitted = fits["gamma_gamma"]
    assert fitted.reason is None
    assert fitted.values == pytest.approx(other.params_[["p", "q", "v"]].to_numpy(), rel=0.01)
    independent = -other._negative_log_likelihood_ * has_value.sum()
    assert fitted.log_likelihood == pytest.approx(independent, abs=0.05)
    ours = base.expected_order_value(fitted.values, *rows)
    theirs = other.conditional_expected_average_profit(*rows)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.001)
