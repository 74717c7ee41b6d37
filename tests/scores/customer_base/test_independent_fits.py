"""Customer-base models against fits of other programs, on three whole logs."""

from collections.abc import Callable
from datetime import date

import lifetimes
import numpy as np
import pytest
from scipy.optimize import minimize
from support.buyers import Buyers, plain_log_likelihood
from support.purchase_logs import PurchaseLog

from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import expected_order_value
from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.purchase_models import MODELS


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
    ours = expected_order_value(fitted.values, *rows)
    theirs = other.conditional_expected_average_profit(*rows)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.001)
