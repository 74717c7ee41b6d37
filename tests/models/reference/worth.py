"""What buyers are worth on a purchase day, and the tiers of it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from support.random_shop import Tiers

from reference.numbers import NO_VALUE, ONE_DAY, rounded

PURCHASE_CLASSES = (1, 2, 3, 5, 10)


def purchase_class(number: int) -> int:
    """Return the least number of purchase days in the class of the n-th one."""
    return max(least for least in PURCHASE_CLASSES if least <= number)


@dataclass(frozen=True)
class Worth:
    """What a buyer was worth on a purchase day."""

    revenue: Decimal = NO_VALUE
    margin: Decimal = NO_VALUE
    expected_value: Decimal = NO_VALUE


def least_values(tiers: Tiers, values: list[Decimal]) -> tuple[Decimal, Decimal] | None:
    """Return the least values of high and medium, given those of all buyers."""
    if not values:
        return None
    if tiers.method == "cutoff":
        return Decimal(tiers.high), Decimal(tiers.medium)
    highest_first = sorted(values, reverse=True)

    def least(share: str) -> Decimal:
        # The place of the first of equal values is the number of greater ones.
        end = Fraction(share) * len(values)
        found = [v for v in highest_first if highest_first.index(v) < end]
        return max(found[-1], Decimal("0.01"))

    return least(tiers.high), least(tiers.medium)


def tier_by(tiers: Tiers, worth: Worth, cutoffs: tuple[Decimal, Decimal]) -> str:
    value = measured(tiers, worth)
    if value >= cutoffs[0]:
        return "high"
    return "medium" if value >= cutoffs[1] else "low"


def measured(tiers: Tiers, worth: Worth) -> Decimal:
    return getattr(worth, tiers.measure)


def return_shares(as_of: date, purchase_days: list[list[date]]) -> Mapping[int, Fraction]:
    """Return the share who came back within the longest horizon, by class of purchase day.

    A class has 20 more purchase days at the share of all.
    """
    observed = (as_of - min((days[0] for days in purchase_days), default=as_of)).days
    horizon = max((days for days in (365, 180, 90) if days <= observed), default=None)
    outcomes = defaultdict(list)
    for bought in purchase_days if horizon else []:
        for number, (day, following) in enumerate(pairwise([*bought, date.max]), 1):
            end = day + horizon * ONE_DAY
            if end <= as_of:
                outcomes[purchase_class(number)].append(following <= end)
    everybody = [one for found in outcomes.values() for one in found]
    shares = defaultdict(lambda: Fraction(1))
    for class_ in PURCHASE_CLASSES if everybody else ():
        found = outcomes[class_]
        typical = Fraction(rounded(Fraction(sum(everybody), len(everybody)), 4))
        share = rounded((sum(found) + 20 * typical) / (len(found) + 20), 6)
        shares[class_] = Fraction(share)
    return shares
