"""Which forecast publishes a score: fitted models and plain rules put to the test, looking once.

Belongs here: fits as of past days, what each forecast would have said then, and the choice. Pure
functions over snapshots of customers; the measures are in `model_quality`, the models in
`customer_base`, the warehouse in `scoring`. Times in snapshots are days, in the models weeks.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from dagster_project.scores import customer_base, quality
from dagster_project.scores.customer_base import GAMMA_GAMMA, Fit
from dagster_project.scores.quality import EMPIRICAL_TABLE, HIATUS_RULE, Forecast, Snapshot

DAYS_PER_WEEK = 7
# The horizon that decides what is published; the others are reported beside it.
DECIDING_HORIZON = 90
# Cutoffs by how many horizons they lie before the as-of date: forecasts are compared as of the
# earlier one, and the winner is judged once as of the last.
LAST, EARLIER = 1, 2
WORKERS = 2
# BG/NBD is none of them: to it, whoever bought once is alive for certain.
ALIVE_MODELS = ("mbg_nbd", "pareto_nbd")
CANDIDATES = {
    "return_probability_90d": (*customer_base.MODELS, EMPIRICAL_TABLE, HIATUS_RULE),
    "expected_purchases": (*customer_base.MODELS, HIATUS_RULE),
    "probability_alive": ALIVE_MODELS,
    "expected_order_value": (GAMMA_GAMMA,),
}
"""By score, what may publish it."""
# Rules that learn nothing; they are reported beside the plain rule.
OTHER_RULES = (quality.NOBODY_RETURNS, quality.LAST_PERIOD_REPEATS)
_WORDS = {"brier": "Brier score", "rmse": "root mean squared error"}

# What a customer-base model takes: repeat purchases, weeks to the last one, weeks observed.
History = tuple[np.ndarray, np.ndarray, np.ndarray]


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
class Choice:
    """What a score is made by.

    Attributes:
        winner: Best of the candidates as of the earlier cutoff; None if there was no contest.
        published: The winner, the plain rule, or None.
        reason: Why, in words.
    """

    winner: str | None
    published: str | None
    reason: str


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
    def fit(
        cls, customers: Snapshot, mean_value: np.ndarray, limits: customer_base.Limits
    ) -> "CurrentFits":
        """Fit everything to the customers."""
        fits, reason = fit_models(customers, limits)
        order_value_fit = None
        if reason is None:
            order_value_fit = customer_base.fit_gamma_gamma(
                customer_base.OrderValues.grouped(customers.repeat_count, mean_value)
            )
        return cls(customers, mean_value, fits, order_value_fit, reason)


def make_choices(
    tests: Mapping[tuple[int, int], Backtest], today: CurrentFits
) -> dict[str, Choice]:
    """Return by score what publishes it and why."""
    return {
        "return_probability_90d": _confirmed(
            choose(tests, "return_probability_90d", "brier"), today
        ),
        "expected_purchases": _confirmed(choose(tests, "expected_purchases", "rmse"), today),
        "probability_alive": _choose_alive(tests, today),
        "expected_order_value": _choose_order_value(today),
    }


def _confirmed(choice: Choice, today: CurrentFits) -> Choice:
    """Return the choice, or none if its model does not hold as of today."""
    fault = today.reason
    if choice.published in today.fits:
        fault = refusal(choice.published, today.fits)
    return choice if fault is None else Choice(choice.winner, None, f"today: {fault}")


def _choose_alive(tests: Mapping[tuple[int, int], Backtest], today: CurrentFits) -> Choice:
    if not today.fits:
        return Choice(None, None, today.reason)
    last = tests.get((DECIDING_HORIZON, LAST))
    by_likelihood = sorted(ALIVE_MODELS, key=lambda name: -today.fits[name].log_likelihood)
    faults = {
        name: refusal(name, today.fits) or _untold_returns(name, last) for name in by_likelihood
    }
    allowed = [name for name, fault in faults.items() if fault is None]
    if not allowed:
        return Choice(None, None, faults[by_likelihood[0]])
    likeliest = allowed[0]
    return Choice(
        likeliest,
        likeliest,
        "drop-out is identified (twice the gain over NBD is "
        f"{gain_over_nbd(today.fits[likeliest], today.fits):.1f}) and {likeliest} is the likeliest "
        f"of what holds ({', '.join(allowed)})",
    )


def _untold_returns(name: str, last: Backtest | None) -> str | None:
    """Return why a model's word on who has left is not to be taken, or None.

    Drop-out can be identified and yet be told of the wrong customers: a model that does not know
    who returns does not know who has left.
    """
    judged = last.quality.get(name, {}) if last else {}
    if "brier_difference_high" not in judged:
        return "too little data to put to the test whom a model holds for gone"
    low, high = judged["brier_difference_low"], judged["brier_difference_high"]
    if high <= 0:
        return None
    return (
        f"as of {last.cutoff_on} {name} did not tell better than the plain rule who returns "
        f"(difference of Brier scores {low:+.4f} to {high:+.4f})"
    )


def _choose_order_value(today: CurrentFits) -> Choice:
    fault = today.reason or today.order_value_fit.reason
    if fault:
        return Choice(None, None, fault)
    return Choice(
        GAMMA_GAMMA, GAMMA_GAMMA, "the only model of what an order is worth; its fit converged"
    )


def choose(tests: Mapping[tuple[int, int], Backtest], score: str, measure: str) -> Choice:
    """Return what publishes a score, looking once.

    The candidate with the lowest measure as of the earlier cutoff is judged as of the last one, and
    published if it is not worse than the plain rule: the upper end of the 95% interval of the
    paired difference is at most zero. Else the plain rule is.

    Args:
        tests: From `make_tests`.
        score: Whose candidates compete.
        measure: brier (of the chance to return) or rmse (of the number of purchase days).
    """
    earlier = tests.get((DECIDING_HORIZON, EARLIER))
    last = tests.get((DECIDING_HORIZON, LAST))
    if earlier is None or last is None:
        return Choice(None, None, "too little data to put a forecast of 90 days to the test")
    if earlier.reason:
        return Choice(None, None, f"as of {earlier.cutoff_on}: {earlier.reason}")
    allowed = [
        name
        for name in CANDIDATES[score]
        if name in earlier.forecasts
        and name != HIATUS_RULE
        and (name not in earlier.fits or refusal(name, earlier.fits) is None)
    ]
    if not allowed:
        return Choice(None, None, f"as of {earlier.cutoff_on} no model fits")
    if HIATUS_RULE not in last.forecasts:
        return Choice(None, None, "the plain rule has nothing to learn from")
    winner = min(allowed, key=lambda name: earlier.quality[name][measure])
    if winner not in last.forecasts:
        return Choice(winner, None, f"as of {last.cutoff_on}: {last.reason or 'no fit'}")
    judged = last.quality[winner]
    low, high = (judged[f"{measure}_difference_{end}"] for end in ("low", "high"))
    figures = (
        f"as of {last.cutoff_on} its {_WORDS[measure]} was {judged[measure]:.4f}, the plain rule's "
        f"{last.quality[HIATUS_RULE][measure]:.4f} (difference {low:+.4f} to {high:+.4f})"
    )
    chosen = f"{winner} was best as of {earlier.cutoff_on}; {figures}"
    rule = min(OTHER_RULES, key=lambda name: last.quality[name][measure])
    if last.quality[rule][measure] < judged[measure]:
        chosen += f"; {rule} would have had {last.quality[rule][measure]:.4f}"
    if high <= 0:
        return Choice(winner, winner, chosen)
    return Choice(
        winner, HIATUS_RULE, f"{chosen}: not better beyond chance, so the plain rule publishes"
    )


def make_tests(
    snapshots: Mapping[tuple[int, int], tuple[date, Snapshot]], limits: customer_base.Limits
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


def fit_models(
    customers: Snapshot, limits: customer_base.Limits
) -> tuple[dict[str, Fit], str | None]:
    """Return every customer-base model fitted to what is known, or why none was."""
    reason = limits.reason(customers.repeat_count, customers.days_observed)
    if reason:
        return {}, reason
    histories = customer_base.Histories.grouped(
        customers.repeat_count,
        customers.days_to_last / DAYS_PER_WEEK,
        customers.days_observed / DAYS_PER_WEEK,
    )
    return {name: customer_base.fit(name, histories) for name in customer_base.MODELS}, None


def refusal(name: str, fits: Mapping[str, Fit]) -> str | None:
    """Return why a fitted model may not publish anything, or None."""
    fit = fits[name]
    if fit.reason:
        return fit.reason
    if name != "nbd" and not customer_base.identifies_drop_out(fit, fits["nbd"]):
        return (
            f"drop-out is not identified: twice the gain in log-likelihood over NBD is "
            f"{gain_over_nbd(fit, fits):z.1f}, below {customer_base.DROP_OUT_GAIN:g}"
        )
    return None


def _forecasts(
    customers: Snapshot, horizon: int, fits: Mapping[str, Fit], learnt_from: Snapshot | None
) -> dict[str, Forecast]:
    forecasts = {
        quality.NOBODY_RETURNS: quality.nobody_returns(customers),
        quality.LAST_PERIOD_REPEATS: quality.last_period_repeats(customers),
    }
    if learnt_from is not None and len(learnt_from):
        forecasts[HIATUS_RULE] = quality.HiatusRule.learn(learnt_from).forecast(customers)
        forecasts[EMPIRICAL_TABLE] = quality.EmpiricalTable.learn(learnt_from).forecast(customers)
    for name, fit in fits.items():
        if fit.reason is None:
            forecasts[name] = model_forecast(fit, customers, horizon)
    return forecasts


def model_forecast(fit: Fit, customers: Snapshot, horizon_days: int) -> Forecast:
    """Return what a fitted model says of each customer."""
    model = customer_base.MODELS[fit.model]
    history = history_of(customers)
    repeat_count, _, observed = history
    horizon = horizon_days / DAYS_PER_WEEK
    alive = model.probability_alive(fit.values, *history)
    return Forecast(
        alive * model.return_if_alive(fit.values, repeat_count, observed, horizon),
        alive * model.expected_if_alive(fit.values, repeat_count, observed, horizon),
    )


def history_of(customers: Snapshot) -> History:
    """Return the histories as the customer-base models take them."""
    return (
        customers.repeat_count.astype(float),
        customers.days_to_last / DAYS_PER_WEEK,
        customers.days_observed / DAYS_PER_WEEK,
    )


def gain_over_nbd(fit: Fit, fits: Mapping[str, Fit]) -> float:
    """Return twice the gain in log-likelihood over the model in which nobody leaves."""
    return 2 * (fit.log_likelihood - fits["nbd"].log_likelihood)
