"""What was known of customers at the end of a day, what they did after it, and what was said.

Belongs here: the shapes that rules, models and measures share. Times are whole days; the models of
the customer base take them in weeks.
"""

from dataclasses import dataclass

import numpy as np

DAYS_PER_WEEK = 7
TIERS = ("low", "medium", "high")
"""Value tiers, lowest first; a snapshot holds their places here."""

# What a customer-base model takes: repeat purchases, weeks to the last one, weeks observed.
History = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """What was known of customers at the end of a day, and what they did after it.

    Every array has shape (customers,).

    Attributes:
        repeat_count: Purchase days after the first.
        days_to_last: From the first to the last purchase day.
        days_observed: From the first purchase day to the day of the snapshot.
        value_tier: Place in `TIERS`, by the source's tiers in force on the as-of date.
        group_number: Random group that the bootstrap draws.
        last_period_count: Purchase days in the horizon before the day's end; None if unknown.
        next_period_count: Purchase days in the horizon after it; None while that is the future.
    """

    repeat_count: np.ndarray
    days_to_last: np.ndarray
    days_observed: np.ndarray
    value_tier: np.ndarray
    group_number: np.ndarray
    last_period_count: np.ndarray | None = None
    next_period_count: np.ndarray | None = None

    @property
    def days_since_last_purchase(self) -> np.ndarray:
        """Days since the last purchase day."""
        return self.days_observed - self.days_to_last

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.repeat_count)


@dataclass(frozen=True)
class Forecast:
    """What was said of each customer: chance to buy in the horizon, and on how many days."""

    repurchase_probability: np.ndarray
    purchase_count: np.ndarray


def history_of(customers: Snapshot) -> History:
    """Return the histories as the customer-base models take them."""
    return (
        customers.repeat_count.astype(float),
        customers.days_to_last / DAYS_PER_WEEK,
        customers.days_observed / DAYS_PER_WEEK,
    )


def outcomes(customers: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each customer returned (1 or 0) and on how many days, as numbers."""
    count = customers.next_period_count.astype(float)
    return (count > 0).astype(float), count
