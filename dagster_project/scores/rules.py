"""Plain rules that any may use: what they learn from the past without a model, and forecast.

Belongs here: rules over snapshots, one entry a customer. How well they do is measured in `quality`;
which of all that is published is decided in `score_choice`.
"""

from dataclasses import dataclass

import numpy as np

from dagster_project.scores.snapshot import TIERS, Forecast, Snapshot, outcomes

# The hiatus heuristic (Wuebben and von Wangenheim 2008) with a quarter of a year: of the CDNOW
# sample's customers it calls 77.9% rightly active or not, P(alive) of Pareto/NBD 77.4%.
HIATUS_DAYS = 91
# A cell of the empirical table counts as much as the estimate one level above it when it holds
# this many customers.
SHRINKAGE_CUSTOMERS = 20
HIATUS_BOUNDS = (7, 14, 30, 60, 91, 182, 365)
PURCHASE_BOUNDS = (1, 2, 4, 9)

HIATUS_RULE = "hiatus_rule"
NOBODY_RETURNS = "nobody_repurchases"
LAST_PERIOD_REPEATS = "last_period_repeats"
EMPIRICAL_TABLE = "empirical_table"


def nobody_repurchases(customers: Snapshot) -> Forecast:
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
        is_recent = (customers.days_since_last_purchase <= HIATUS_DAYS).astype(int)
        return cls(
            *(_cell_means(is_recent, 2, of, of.mean()) for of in outcomes(customers)),
        )

    def forecast(self, customers: Snapshot) -> Forecast:
        """Return the rates by what each customer's hiatus is today."""
        is_recent = (customers.days_since_last_purchase <= HIATUS_DAYS).astype(int)
        return Forecast(self.rates[is_recent], self.counts[is_recent])


@dataclass(frozen=True)
class EmpiricalTable:
    """Shares by hiatus, number of purchases and value tier, thin cells drawn to what is above them.

    A cell (hiatus x purchases x tier) is drawn towards its hiatus x purchases, that towards its
    hiatus, that towards all: (sum + k * above) / (customers + k) with k = 20.
    Tiers are the source's, by the version in force on the as-of date, also as of past days: what a
    cell has learnt and what it is asked must mean the same.

    Attributes:
        rates: Shape (hiatus classes, purchase classes, tiers): share that returned.
        counts: Same shape: mean purchase days.
    """

    rates: np.ndarray
    counts: np.ndarray

    @classmethod
    def learn(cls, customers: Snapshot) -> "EmpiricalTable":
        """Learn every cell from customers whose future is known."""
        shape = (len(HIATUS_BOUNDS) + 1, len(PURCHASE_BOUNDS) + 1, len(TIERS))
        classes = _classes(customers)
        tables = []
        for outcome in outcomes(customers):
            above = np.full(1, outcome.mean())
            for level in range(1, len(shape) + 1):
                cell = np.ravel_multi_index(classes[:level], shape[:level])
                size = int(np.prod(shape[:level]))
                above = _cell_means(
                    cell, size, outcome, np.repeat(above, shape[level - 1]), SHRINKAGE_CUSTOMERS
                )
            tables.append(above.reshape(shape))
        return cls(*tables)

    def forecast(self, customers: Snapshot) -> Forecast:
        """Return each customer's cell."""
        cell = _classes(customers)
        return Forecast(self.rates[cell], self.counts[cell])


def _classes(customers: Snapshot) -> tuple[np.ndarray, ...]:
    return (
        np.searchsorted(HIATUS_BOUNDS, customers.days_since_last_purchase, side="left"),
        np.searchsorted(PURCHASE_BOUNDS, customers.repeat_count + 1, side="left"),
        customers.value_tier,
    )


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
