"""The models of purchases by name: fitting one of them, and whether it says more than NBD."""

from dataclasses import replace

import numpy as np

from dagster_project.scores.customer_base.bg_nbd import BgNbd
from dagster_project.scores.customer_base.fitting import Fit, maximise, no_fit
from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.mbg_nbd import MbgNbd
from dagster_project.scores.customer_base.model import Model
from dagster_project.scores.customer_base.nbd import Nbd
from dagster_project.scores.customer_base.pareto_nbd import ParetoNbd

# Twice the gain in log-likelihood over NBD that two more parameters reach by chance in one case of
# twenty (chi squared with two degrees of freedom: 5.99).
DROP_OUT_GAIN = 6.0

MODELS: dict[str, Model] = {
    "nbd": Nbd(),
    "bg_nbd": BgNbd(),
    "mbg_nbd": MbgNbd(),
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
        return no_fit(name, model.names, histories, "nobody bought again")
    unit = float(np.average(histories.observed, weights=histories.weight))
    scaled = replace(
        histories, last_at=histories.last_at / unit, observed=histories.observed / unit
    )
    units = np.array([unit if parameter in model.times else 1.0 for parameter in model.names])
    # A likelihood of times has the unit of a rate to the power of its purchases.
    shift = (histories.repeat_count * histories.weight).sum() * np.log(unit)
    return maximise(name, model.names, model.terms, scaled, model.starts, units, shift)


def identifies_drop_out(fitted: Fit, nbd: Fit) -> bool:
    """Return whether a model in which customers leave is beyond chance likelier than NBD."""
    return 2 * (fitted.log_likelihood - nbd.log_likelihood) >= DROP_OUT_GAIN
