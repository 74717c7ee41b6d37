"""Made-up forecasts, fits and back-tests, of which one wins."""

from datetime import timedelta

import numpy as np
from support.made_up import AS_OF, snapshot

from dagster_project.scores import rules
from dagster_project.scores.backtests import Backtest
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.purchase_models import MODELS
from dagster_project.scores.snapshot import Forecast, Snapshot


def forecast(customers: Snapshot, sharpness: float) -> Forecast:
    """Return a forecast that is right by so much: 0 says the rate of all, 1 the outcome."""
    returned = customers.next_period_count.astype(float)
    chance = sharpness * returned + (1 - sharpness) * returned.mean()
    return Forecast(chance, chance)


def fitted(model: str, log_likelihood: float, reason: str | None = None) -> Fit:
    names = MODELS[model].names
    parameters = dict.fromkeys(names, 1.0)
    return Fit(model, parameters, log_likelihood, 600, np.eye(len(names)), reason)


def contest(
    earlier: dict[str, float], last: dict[str, float], fits: dict[str, Fit] | None = None
) -> dict[tuple[int, int], Backtest]:
    """Return tests in which each forecast is as sharp as given."""
    tests = {}
    for step, sharpness in ((1, last), (2, earlier)):
        customers = snapshot()
        forecasts = {name: forecast(customers, sharp) for name, sharp in sharpness.items()}
        forecasts = {
            "nobody_repurchases": rules.nobody_repurchases(customers),
            "last_period_repeats": rules.last_period_repeats(customers),
        } | forecasts
        cutoff = AS_OF - timedelta(days=90 * step)
        tests[90, step] = Backtest(90, cutoff, customers, fits or {}, forecasts, None)
    return tests


FITS = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -990)}
