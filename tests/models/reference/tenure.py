"""What customers spend the longer they have been customers."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction

from reference.known import Known
from reference.life import Life
from reference.numbers import NO_VALUE, ONE_DAY, rounded, share


def spend_by_tenure(known: Known) -> list[tuple]:
    as_of, segments, rows = known.world.as_of, defaultdict(list), []
    for life in known.buyers:
        sources = [one.came_by for one in life.records if one.came_by]
        segments["all", "all"].append(life)
        segments["acquisition_month", f"{life.bought[0]:%Y-%m}"].append(life)
        if sources:
            segments["acquisition_source", min(sources)].append(life)
    for segment, lives in segments.items():
        first_bought = min(life.bought[0] for life in lives)
        for month in range(tenure_month(first_bought, as_of) + 1):
            # The last day before the next month's first.
            last_day = -(-365 * (month + 1) // 12) - 1
            seen = [one for one in lives if (as_of - one.bought[0]).days >= last_day]
            ends = {one: one.bought[0] + last_day * ONE_DAY for one in seen}
            spent = {one: tenure_spend(one, month, month) for one in seen}
            kept = [one for one in seen if not one.is_lost_on(ends[one])]
            counts = len(lives), len(seen), len(kept), share(len(kept), len(seen))
            total = sum(spent.values(), NO_VALUE)
            kept_total = sum((spent[one] for one in kept), NO_VALUE)
            so_far = sum((tenure_spend(one, 0, month) for one in seen), NO_VALUE)
            figures = (
                *(total, kept_total, each(total, seen), each(kept_total, kept)),
                each(so_far, seen),
            )
            if not seen:
                counts, figures = (*counts[:2], None, None), (None,) * 5
            is_mature = len(seen) == len(lives)
            rows.append((*segment, month, *counts, *figures, "EUR", is_mature))
    return rows


def tenure_month(first: date, day: date) -> int:
    """Return in which twelfth of a year of 365 days since the first a day falls, from 0 on."""
    return 12 * (day - first).days // 365


def tenure_spend(life: Life, first: int, last: int) -> Decimal:
    """Return net revenue from one month of tenure to another."""
    days = (day for day in life.revenue if day >= life.bought[0])
    return sum(
        (life.revenue[d] for d in days if first <= tenure_month(life.bought[0], d) <= last),
        NO_VALUE,
    )


def each(total: Decimal, lives: list[Life]) -> Decimal | None:
    """Return an amount per customer, a half of a cent rounded away from zero."""
    return rounded(Fraction(total) / len(lives), 2) if lives else None
