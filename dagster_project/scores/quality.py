"""How forecasts did on customers whose future is known.

Belongs here: the measures and the paired comparison. Pure functions over arrays, one entry a
customer. What is measured comes from `rules` and the customer-base models.
"""

from collections.abc import Mapping

import numpy as np

from dagster_project.scores.snapshot import Forecast, Snapshot, outcomes

REPLICATES = 2_000


def quality(customers: Snapshot, forecast: Forecast) -> dict[str, float | int | None]:
    """Return the measures of a forecast on customers whose future is known.

    Keys: actual_count and predicted_count (purchase days of all), bias (predicted / actual - 1),
    mae, rmse and correlation of the counts; repurchased_count and predicted_repurchased_count
    (customers), brier, auc and top_decile_lift of the chance to return. A measure that these
    customers do not define (nobody returned, a forecast that is the same for all) is None.
    """
    has_repurchased, count = outcomes(customers)
    error = forecast.purchase_count - count
    actual = count.sum()
    return {
        "customer_count": len(customers),
        "actual_count": int(actual),
        "predicted_count": float(forecast.purchase_count.sum()),
        "bias": float(forecast.purchase_count.sum() / actual - 1) if actual else None,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "correlation": _correlation(forecast.purchase_count, count),
        "repurchased_count": int(has_repurchased.sum()),
        "predicted_repurchased_count": float(forecast.repurchase_probability.sum()),
        "brier": float(((forecast.repurchase_probability - has_repurchased) ** 2).mean()),
        "auc": _auc(forecast.repurchase_probability, has_repurchased),
        "top_decile_lift": _top_decile_lift(forecast.repurchase_probability, has_repurchased),
    }


def calibration(customers: Snapshot, forecast: Forecast) -> list[dict[str, float | int]]:
    """Return predicted against actual shares by tenths of the customers, lowest chance first.

    Customers with the same chance share a tenth (the one of their middle rank), so a rule that
    says two things has two of them.
    """
    has_repurchased, _ = outcomes(customers)
    chance = forecast.repurchase_probability
    middle = (average_ranks(chance) - 0.5) / len(chance)
    decile = np.minimum(np.floor(middle * 10).astype(int), 9)
    return [
        {
            "decile": int(number) + 1,
            "customer_count": int(members.sum()),
            "predicted_rate": float(chance[members].mean()),
            "actual_rate": float(has_repurchased[members].mean()),
        }
        for number in np.unique(decile)
        for members in [decile == number]
    ]


def paired_differences(
    customers: Snapshot, forecasts: Mapping[str, Forecast], against: str
) -> dict[str, dict[str, float]]:
    """Return how much worse each forecast is than one of them, with 95% intervals.

    A paired Poisson bootstrap over customers, drawn in their random groups, so that the cost does
    not grow with their number and every run gives the same interval.

    Returns:
        By forecast: brier_difference and rmse_difference (below zero: better), each with `_low`
        and `_high`, the 2.5 and 97.5 percentiles of the replicates.
    """
    has_repurchased, count = outcomes(customers)
    groups, group = np.unique(customers.group_number, return_inverse=True)
    draws = np.random.default_rng(0).poisson(1.0, (REPLICATES, len(groups))).astype(float)
    # The first row is the sample itself.
    weights = np.vstack([np.ones(len(groups)), draws])
    # With very few groups a draw can be empty; it says nothing.
    weights = weights[weights @ np.bincount(group) > 0]
    customer_count = weights @ np.bincount(group)

    def measures(forecast: Forecast) -> dict[str, np.ndarray]:
        losses = {
            "brier": (forecast.repurchase_probability - has_repurchased) ** 2,
            "rmse": (forecast.purchase_count - count) ** 2,
        }
        means = {
            name: weights @ np.bincount(group, weights=loss) / customer_count
            for name, loss in losses.items()
        }
        return {"brier": means["brier"], "rmse": np.sqrt(means["rmse"])}

    base = measures(forecasts[against])
    result = {}
    for name, forecast in forecasts.items():
        result[name] = {}
        for measure, values in measures(forecast).items():
            difference = values - base[measure]
            low, high = np.percentile(difference[1:], [2.5, 97.5])
            result[name] |= {
                f"{measure}_difference": float(difference[0]),
                f"{measure}_difference_low": float(low),
                f"{measure}_difference_high": float(high),
            }
    return result


def _correlation(predicted: np.ndarray, actual: np.ndarray) -> float | None:
    if len(actual) < 2 or np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return None
    return float(np.corrcoef(predicted, actual)[0, 1])


def _auc(chance: np.ndarray, has_repurchased: np.ndarray) -> float | None:
    """Return the chance that a returner was rated above a non-returner, ties counting half."""
    positive = int(has_repurchased.sum())
    negative = len(chance) - positive
    if not positive or not negative:
        return None
    ranks = average_ranks(chance)[has_repurchased > 0].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1 up, of equal values their mean rank; shape (values,)."""
    # scipy.stats has it too, but takes a second to import.
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _top_decile_lift(chance: np.ndarray, has_repurchased: np.ndarray) -> float | None:
    """Return the share of returners in the tenth rated highest, over that of all.

    Of customers who share the chance at the border, as large a part counts as fits in.
    """
    rate = has_repurchased.mean()
    if not rate:
        return None
    values, index, sizes = np.unique(-chance, return_inverse=True, return_counts=True)
    returned = np.bincount(index, weights=has_repurchased, minlength=len(values))
    room = len(chance) / 10
    taken = np.clip(room - (np.cumsum(sizes) - sizes), 0, sizes)
    return float((returned * taken / sizes).sum() / room / rate)
