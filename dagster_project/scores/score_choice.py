"""Which forecast publishes a score: fitted models and plain rules put to the test, looking once.

Belongs here: the choice. Pure functions over back-tests and the fits of today; the measures are in
`quality`, the models in `customer_base`, the warehouse in `scoring`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dagster_project.scores.backtests import (
    EARLIER,
    LAST,
    Backtest,
    CurrentFits,
    gain_over_nbd,
    refusal,
)
from dagster_project.scores.customer_base.gamma_gamma import GAMMA_GAMMA
from dagster_project.scores.customer_base.purchase_models import MODELS
from dagster_project.scores.horizons import DECIDING_HORIZON
from dagster_project.scores.rules import (
    EMPIRICAL_TABLE,
    HIATUS_RULE,
    LAST_PERIOD_REPEATS,
    NOBODY_RETURNS,
)

# BG/NBD is none of them: to it, whoever bought once is alive for certain.
ALIVE_MODELS = ("mbg_nbd", "pareto_nbd")
CANDIDATES = {
    "repurchase_probability_90d": (*MODELS, EMPIRICAL_TABLE, HIATUS_RULE),
    "expected_purchase_days": (*MODELS, HIATUS_RULE),
    "probability_alive": ALIVE_MODELS,
    "expected_order_value": (GAMMA_GAMMA,),
}
"""By score, what may publish it."""
# Rules that learn nothing; they are reported beside the plain rule.
OTHER_RULES = (NOBODY_RETURNS, LAST_PERIOD_REPEATS)
_WORDS = {"brier": "Brier score", "rmse": "root mean squared error"}


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


def make_choices(
    tests: Mapping[tuple[int, int], Backtest], today: CurrentFits
) -> dict[str, Choice]:
    """Return by score what publishes it and why."""
    return {
        "repurchase_probability_90d": _confirmed(
            choose(tests, "repurchase_probability_90d", "brier"), today
        ),
        "expected_purchase_days": _confirmed(
            choose(tests, "expected_purchase_days", "rmse"), today
        ),
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
        name: refusal(name, today.fits) or _misjudges_repurchases(name, last)
        for name in by_likelihood
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


def _misjudges_repurchases(name: str, last: Backtest | None) -> str | None:
    """Return why a model's word on who has left is not to be taken, or None.

    Drop-out can be identified and yet be told of the wrong customers: a model that does not know
    who buys again does not know who has left.
    """
    judged = last.quality.get(name, {}) if last else {}
    if "brier_difference_high" not in judged:
        return "too little data to put to the test whom a model holds for gone"
    low, high = judged["brier_difference_low"], judged["brier_difference_high"]
    if high <= 0:
        return None
    return (
        f"as of {last.cutoff_on} {name} did not tell better than the plain rule who buys "
        f"again (difference of Brier scores {low:+.4f} to {high:+.4f})"
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
