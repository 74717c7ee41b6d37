"""What the models are fitted to, and how much of it they need.

Belongs here: histories and order values, grouped so that a fit need not grow with the customers.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """How much data a fit takes.

    Attributes:
        buyers: Customers.
        days: Days from the first purchase of any of them.
        repeat_buyers: Customers with more than one purchase.
    """

    buyers: int = 500
    days: int = 180
    repeat_buyers: int = 50

    def reason(self, repeat_count: np.ndarray, days_observed: np.ndarray) -> str | None:
        """Return why the customers are too few, or None."""
        days = int(days_observed.max(initial=0))
        for found, needed, what in (
            (len(repeat_count), self.buyers, "buyers"),
            (days, self.days, "days of data"),
            (int((repeat_count > 0).sum()), self.repeat_buyers, "buyers with a second purchase"),
        ):
            if found < needed:
                return f"too little data: {found:,} {what} of the {needed:,} needed"
        return None


@dataclass(frozen=True)
class Histories:
    """Distinct histories and how many customers have each, so that a fit need not grow with them.

    Attributes:
        repeat_count: Purchases after the first.
        last_at: Time of the last purchase since the first.
        observed: Time since the first purchase.
        weight: Customers with this history.
    """

    repeat_count: np.ndarray
    last_at: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @classmethod
    def grouped(
        cls, repeat_count: np.ndarray, last_at: np.ndarray, observed: np.ndarray
    ) -> "Histories":
        """Group the histories of customers."""
        return cls(*_grouped(repeat_count, last_at, observed))


@dataclass(frozen=True)
class OrderValues:
    """Distinct pairs of repeat purchases and their mean value, for customers who have any.

    Attributes:
        repeat_count: Purchases after the first, above zero.
        mean_value: Their mean value, above zero.
        weight: Customers with this pair.
    """

    repeat_count: np.ndarray
    mean_value: np.ndarray
    weight: np.ndarray

    @classmethod
    def grouped(cls, repeat_count: np.ndarray, mean_value: np.ndarray) -> "OrderValues":
        """Group the customers who have a repeat purchase of some value."""
        has_value = (repeat_count > 0) & (mean_value > 0)
        return cls(*_grouped(repeat_count[has_value], mean_value[has_value]))


def _grouped(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    rows = np.column_stack([np.asarray(column, dtype=float) for column in columns])
    distinct, weight = np.unique(rows, axis=0, return_counts=True)
    return *distinct.T, weight.astype(float)
