"""How forecasts did on customers whose future is known, beside plain rules that any may use.

Belongs here: the rules that learn from the past without a model, the measures, and the paired
comparison. Pure functions over arrays, one entry a customer; times are whole days. What the
customer-base models forecast comes from `customer_base`; which of all that is published is decided
in `score_choice`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

# The hiatus heuristic (Wuebben and von Wangenheim 2008) with a quarter of a year: of the CDNOW
# sample's customers it calls 77.9% rightly active or not, P(alive) of Pareto/NBD 77.4%.
HIATUS_DAYS = 91
# A cell of the empirical table counts as much as the estimate one level above it when it holds
# this many customers.
SHRINKAGE_CUSTOMERS = 20
HIATUS_BOUNDS = (7, 14, 30, 60, 91, 182, 365)
PURCHASE_BOUNDS = (1, 2, 4, 9)
VALUE_SHARES = (0.5, 0.2)
REPLICATES = 2_000

HIATUS_RULE = "hiatus_rule"
NOBODY_RETURNS = "nobody_returns"
LAST_PERIOD_REPEATS = "last_period_repeats"
EMPIRICAL_TABLE = "empirical_table"


@dataclass(frozen=True)
class Snapshot:
    """What was known of customers at the end of a day, and what they did after it.

    Every array has shape (customers,).

    Attributes:
        repeat_count: Purchase days after the first.
        days_to_last: From the first to the last purchase day.
        days_observed: From the first purchase day to the day of the snapshot.
        value_at_stake: Net revenue of the 365 days ending on the last purchase day.
        group_number: Random group that the bootstrap draws.
        last_period_count: Purchase days in the horizon before the day's end; None if unknown.
        next_period_count: Purchase days in the horizon after it; None while that is the future.
    """

    repeat_count: np.ndarray
    days_to_last: np.ndarray
    days_observed: np.ndarray
    value_at_stake: np.ndarray
    group_number: np.ndarray
    last_period_count: np.ndarray | None = None
    next_period_count: np.ndarray | None = None

    @property
    def hiatus_days(self) -> np.ndarray:
        """Days since the last purchase day."""
        return self.days_observed - self.days_to_last

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.repeat_count)


@dataclass(frozen=True)
class Forecast:
    """What was said of each customer: chance to buy in the horizon, and on how many days."""

    return_probability: np.ndarray
    purchase_count: np.ndarray


def nobody_returns(customers: Snapshot) -> Forecast:
    """Return the forecast that nobody buys again."""
    return Forecast(np.zeros(len(customers)), np.zeros(len(customers)))


def last_period_repeats(customers: Snapshot) -> Forecast:
    """Return the forecast that everybody does what they did in the last period."""
    count = customers.last_period_count.astype(float)
    return Forecast((count > 0).astype(float), count)


@dataclass(frozen=True)
class HiatusRule:
    """Whoever bought in the last 13 weeks returns at one rate, whoever did not at another.

    Attributes:
        rates: Share that returned, of those silent for longer and of those who were not.
        counts: Their mean purchase days.
    """

    rates: np.ndarray
    counts: np.ndarray

    @classmethod
    def learn(cls, customers: Snapshot) -> "HiatusRule":
        """Learn both rates from customers whose future is known."""
        is_recent = (customers.hiatus_days <= HIATUS_DAYS).astype(int)
        return cls(
            *(_cell_means(is_recent, 2, of, of.mean()) for of in _outcomes(customers)),
        )

    def forecast(self, customers: Snapshot) -> Forecast:
        """Return the rates by what each customer's hiatus is today."""
        is_recent = (customers.hiatus_days <= HIATUS_DAYS).astype(int)
        return Forecast(self.rates[is_recent], self.counts[is_recent])


@dataclass(frozen=True)
class EmpiricalTable:
    """Shares by hiatus, number of purchases and value tier, thin cells drawn to what is above them.

    A cell (hiatus x purchases x tier) is drawn towards its hiatus x purchases, that towards its
    hiatus, that towards all: (sum + k * above) / (customers + k) with k = 20.

    Attributes:
        rates: Shape (hiatus classes, purchase classes, tiers): share that returned.
        counts: Same shape: mean purchase days.
    """

    rates: np.ndarray
    counts: np.ndarray

    @classmethod
    def learn(cls, customers: Snapshot) -> "EmpiricalTable":
        """Learn every cell from customers whose future is known."""
        shape = (len(HIATUS_BOUNDS) + 1, len(PURCHASE_BOUNDS) + 1, len(VALUE_SHARES) + 1)
        classes = _classes(customers, tier_bounds(customers.value_at_stake))
        tables = []
        for outcome in _outcomes(customers):
            above = np.full(1, outcome.mean())
            for level in range(1, len(shape) + 1):
                cell = np.ravel_multi_index(classes[:level], shape[:level])
                size = int(np.prod(shape[:level]))
                above = _cell_means(
                    cell, size, outcome, np.repeat(above, shape[level - 1]), SHRINKAGE_CUSTOMERS
                )
            tables.append(above.reshape(shape))
        return cls(*tables)

    def forecast(self, customers: Snapshot, bounds: np.ndarray | None = None) -> Forecast:
        """Return each customer's cell.

        Args:
            customers: As of any day.
            bounds: What a value must reach for the middle and the high tier on that day; by
                default taken from these customers.
        """
        if bounds is None:
            bounds = tier_bounds(customers.value_at_stake)
        cell = _classes(customers, bounds)
        return Forecast(self.rates[cell], self.counts[cell])


def tier_bounds(value_at_stake: np.ndarray) -> np.ndarray:
    """Return what a value must reach so that less than half, and a fifth, have a greater one."""
    ordered = np.sort(value_at_stake)[::-1]
    return np.array(
        [ordered[max(0, int(np.ceil(share * len(ordered))) - 1)] for share in VALUE_SHARES]
    )


def _classes(customers: Snapshot, bounds: np.ndarray) -> tuple[np.ndarray, ...]:
    return (
        np.searchsorted(HIATUS_BOUNDS, customers.hiatus_days, side="left"),
        np.searchsorted(PURCHASE_BOUNDS, customers.repeat_count + 1, side="left"),
        np.searchsorted(bounds, customers.value_at_stake, side="right"),
    )


def _outcomes(customers: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    count = customers.next_period_count.astype(float)
    return (count > 0).astype(float), count


def _cell_means(
    cell: np.ndarray,
    size: int,
    outcome: np.ndarray,
    above: np.ndarray | float,
    weight: float = 1e-9,
) -> np.ndarray:
    """Return means by cell, drawn towards `above`, which stands in for an empty cell."""
    total = np.bincount(cell, weights=outcome, minlength=size)
    count = np.bincount(cell, minlength=size)
    return (total + weight * above) / (count + weight)


def quality(customers: Snapshot, forecast: Forecast) -> dict[str, float | int | None]:
    """Return the measures of a forecast on customers whose future is known.

    Keys: actual_count and predicted_count (purchase days of all), bias (predicted / actual - 1),
    mae, rmse and correlation of the counts; returned_count and predicted_returned_count
    (customers), brier, auc and top_decile_lift of the chance to return. A measure that these
    customers do not define (nobody returned, a forecast that is the same for all) is None.
    """
    has_returned, count = _outcomes(customers)
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
        "returned_count": int(has_returned.sum()),
        "predicted_returned_count": float(forecast.return_probability.sum()),
        "brier": float(((forecast.return_probability - has_returned) ** 2).mean()),
        "auc": _auc(forecast.return_probability, has_returned),
        "top_decile_lift": _top_decile_lift(forecast.return_probability, has_returned),
    }


def calibration(customers: Snapshot, forecast: Forecast) -> list[dict[str, float | int]]:
    """Return predicted against actual shares by tenths of the customers, lowest chance first.

    Customers with the same chance share a tenth (the one of their middle rank), so a rule that
    says two things has two of them.
    """
    has_returned, _ = _outcomes(customers)
    chance = forecast.return_probability
    middle = (rankdata(chance) - 0.5) / len(chance)
    decile = np.minimum(np.floor(middle * 10).astype(int), 9)
    return [
        {
            "decile": int(number) + 1,
            "customer_count": int(members.sum()),
            "predicted_rate": float(chance[members].mean()),
            "actual_rate": float(has_returned[members].mean()),
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
    has_returned, count = _outcomes(customers)
    groups, group = np.unique(customers.group_number, return_inverse=True)
    draws = np.random.default_rng(0).poisson(1.0, (REPLICATES, len(groups))).astype(float)
    # The first row is the sample itself.
    weights = np.vstack([np.ones(len(groups)), draws])
    # With very few groups a draw can be empty; it says nothing.
    weights = weights[weights @ np.bincount(group) > 0]
    customer_count = weights @ np.bincount(group)

    def measures(forecast: Forecast) -> dict[str, np.ndarray]:
        losses = {
            "brier": (forecast.return_probability - has_returned) ** 2,
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


def _auc(chance: np.ndarray, has_returned: np.ndarray) -> float | None:
    """Return the chance that a returner was rated above a non-returner, ties counting half."""
    positive = int(has_returned.sum())
    negative = len(chance) - positive
    if not positive or not negative:
        return None
    ranks = rankdata(chance)[has_returned > 0].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _top_decile_lift(chance: np.ndarray, has_returned: np.ndarray) -> float | None:
    """Return the share of returners in the tenth rated highest, over that of all.

    Of customers who share the chance at the border, as large a part counts as fits in.
    """
    rate = has_returned.mean()
    if not rate:
        return None
    values, index, sizes = np.unique(-chance, return_inverse=True, return_counts=True)
    returned = np.bincount(index, weights=has_returned, minlength=len(values))
    room = len(chance) / 10
    taken = np.clip(room - (np.cumsum(sizes) - sizes), 0, sizes)
    return float((returned * taken / sizes).sum() / room / rate)
