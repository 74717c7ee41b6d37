"""Forecasts as of past days against what followed, and everything that is fitted.

Belongs here: fits as of a day, what each forecast would have said then, and how it did. Pure
functions over snapshots of customers. Which forecast publishes is decided in `score_choice`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from dagster_project.scores import quality, rules
from dagster_project.scores.customer_base import purchase_models
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import fit_gamma_gamma
from dagster_project.scores.customer_base.histories import Histories, Limits, OrderValues
from dagster_project.scores.rules import EMPIRICAL_TABLE, HIATUS_RULE
from dagster_project.scores.snapshot import DAYS_PER_WEEK, Forecast, Snapshot, history_of

# Cutoffs by how many horizons they lie before the as-of date: forecasts are compared as of the
# earlier one, and the winner is judged once as of the last.
LAST, EARLIER = 1, 2
WORKERS = 2


@dataclass(frozen=True)
class Backtest:
    """Forecasts as of one cutoff against what followed.

    Attributes:
        horizon_days: Days after the cutoff.
        cutoff_on: Last day whose data any forecast knew.
        customers: The sampled customers who had bought by then.
        fits: The models fitted with what was known, by name.
        forecasts: By name, plain rules included.
        reason: Why no model forecasts, if so.
    """

    horizon_days: int
    cutoff_on: date
    customers: Snapshot
    fits: Mapping[str, Fit]
    forecasts: Mapping[str, Forecast]
    reason: str | None

    @cached_property
    def quality(self) -> dict[str, dict[str, float | int | None]]:
        """Measures by forecast, with the differences from the plain rule where there is one."""
        measures = {
            name: quality.quality(self.customers, forecast)
            for name, forecast in self.forecasts.items()
        }
        if HIATUS_RULE in self.forecasts:
            differences = quality.paired_differences(self.customers, self.forecasts, HIATUS_RULE)
            measures = {name: measures[name] | differences[name] for name in measures}
        return measures


@dataclass(frozen=True)
class CurrentFits:
    """The sampled customers as of the as-of date, and what was fitted to them.

    Attributes:
        customers: The sampled customers.
        mean_value: Mean net revenue of their purchase days after the first, 0 where there are none.
        fits: Fitted models by name; none where the data are too few.
        order_value_fit: The fitted Gamma-Gamma model; None where the data are too few.
        reason: Why nothing was fitted, if so.
    """

    customers: Snapshot
    mean_value: np.ndarray
    fits: Mapping[str, Fit]
    order_value_fit: Fit | None
    reason: str | None

    @classmethod
    def fit(cls, customers: Snapshot, mean_value: np.ndarray, limits: Limits) -> "CurrentFits":
        """Fit everything to the customers."""
        fits, reason = fit_models(customers, limits)
        order_value_fit = None
        if reason is None:
            order_value_fit = fit_gamma_gamma(
                OrderValues.grouped(customers.repeat_count, mean_value)
            )
        return cls(customers, mean_value, fits, order_value_fit, reason)


def make_tests(
    snapshots: Mapping[tuple[int, int], tuple[date, Snapshot]], limits: Limits
) -> dict[tuple[int, int], Backtest]:
    """Return the tests by horizon and step.

    Args:
        snapshots: By horizon in days and step, the cutoff and the customers as of it. What the
            plain rules know as of a cutoff they learnt at the step before.
        limits: How much data a fit takes.
    """
    tested = {key: of for key, of in sorted(snapshots.items()) if key[1] <= EARLIER}
    by_cutoff = dict(tested.values())
    # Fitting is most of the work, and numpy leaves room for others meanwhile.
    with ThreadPoolExecutor(WORKERS) as workers:
        fits_of = workers.map(lambda customers: fit_models(customers, limits), by_cutoff.values())
        fitted = dict(zip(by_cutoff, fits_of, strict=True))
    tests = {}
    for (horizon, step), (cutoff_on, customers) in tested.items():
        fits, reason = fitted[cutoff_on]
        _, learnt_from = snapshots.get((horizon, step + 1), (None, None))
        forecasts = _forecasts(customers, horizon, fits, learnt_from)
        tests[horizon, step] = Backtest(horizon, cutoff_on, customers, fits, forecasts, reason)
    return tests


def fit_models(customers: Snapshot, limits: Limits) -> tuple[dict[str, Fit], str | None]:
    """Return every customer-base model fitted to what is known, or why none was."""
    reason = limits.reason(customers.repeat_count, customers.days_observed)
    if reason:
        return {}, reason
    histories = Histories.grouped(
        customers.repeat_count,
        customers.days_to_last / DAYS_PER_WEEK,
        customers.days_observed / DAYS_PER_WEEK,
    )
    return {name: purchase_models.fit(name, histories) for name in purchase_models.MODELS}, None


def refusal(name: str, fits: Mapping[str, Fit]) -> str | None:
    """Return why a fitted model may not publish anything, or None."""
    fit = fits[name]
    if fit.reason:
        return fit.reason
    if name != "nbd" and not purchase_models.identifies_drop_out(fit, fits["nbd"]):
        return (
            f"drop-out is not identified: twice the gain in log-likelihood over NBD is "
            f"{gain_over_nbd(fit, fits):z.1f}, below {purchase_models.DROP_OUT_GAIN:g}"
        )
    return None


def _forecasts(
    customers: Snapshot, horizon: int, fits: Mapping[str, Fit], learnt_from: Snapshot | None
) -> dict[str, Forecast]:
    forecasts = {
        rules.NOBODY_RETURNS: rules.nobody_repurchases(customers),
        rules.LAST_PERIOD_REPEATS: rules.last_period_repeats(customers),
    }
    if learnt_from is not None and len(learnt_from):
        forecasts[HIATUS_RULE] = rules.HiatusRule.learn(learnt_from).forecast(customers)
        forecasts[EMPIRICAL_TABLE] = rules.EmpiricalTable.learn(learnt_from).forecast(customers)
    for name, fit in fits.items():
        if fit.reason is None:
            forecasts[name] = model_forecast(fit, customers, horizon)
    return forecasts


def model_forecast(fit: Fit, customers: Snapshot, horizon_days: int) -> Forecast:
    """Return what a fitted model says of each customer."""
    model = purchase_models.MODELS[fit.model]
    history = history_of(customers)
    repeat_count, _, observed = history
    horizon = horizon_days / DAYS_PER_WEEK
    alive = model.probability_alive(fit.values, *history)
    return Forecast(
        alive * model.return_if_alive(fit.values, repeat_count, observed, horizon),
        alive * model.expected_if_alive(fit.values, repeat_count, observed, horizon),
    )


def gain_over_nbd(fit: Fit, fits: Mapping[str, Fit]) -> float:
    """Return twice the gain in log-likelihood over the model in which nobody leaves."""
    return 2 * (fit.log_likelihood - fits["nbd"].log_likelihood)
