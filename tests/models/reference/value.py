"""What customers brought, their tiers of value, and recency, frequency and monetary value."""

from bisect import bisect_left
from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

from reference.known import Known
from reference.numbers import NO_VALUE, ONE_DAY, YEAR, rounded, share_of_amounts
from reference.seeds import RFM_GROUPS
from reference.worth import tier_by


def customer_values(known: Known) -> list[tuple]:
    as_of, rows = known.world.as_of, []
    for life in known.lives.values():
        last = life.bought[-1] if life.bought else date.min + YEAR
        periods = {
            "lifetime": (date.min, as_of),
            "trailing_365d": (as_of - 364 * ONE_DAY, as_of),
            "trailing_90d": (as_of - 89 * ONE_DAY, as_of),
            "last_active_year": (last - 364 * ONE_DAY, last),
        }
        for order, (period, (first, end)) in enumerate(periods.items(), 1):
            days = [day for day in life.bought if first <= day <= end]
            lines = [line for day in days for line in life.sales[day]]
            sold = sum((line.amount for line in lines), NO_VALUE)
            saved = sum((line.discount or NO_VALUE for line in lines), NO_VALUE)
            back = sum((a for d, a in life.returned.items() if first <= d <= end), NO_VALUE)
            rest = sum((a for d, a in life.adjusted.items() if first <= d <= end), NO_VALUE)
            orders = sum(life.order_count(day) for day in days)
            average = rounded(Fraction(sold) / orders, 2) if orders else None
            rows.append(
                (
                    *(life.customer, period, order, life.between(first, end)),
                    *(life.margin_between(first, end), orders, len(days)),
                    *(sold, saved, back, rest, average),
                    share_of_amounts(saved, sold + saved),
                    share_of_amounts(back, sold),
                    "EUR",
                )
            )
    return rows


def value_tier_versions(known: Known) -> list[tuple]:
    as_of, rows = known.world.as_of, []
    for number, tiers in enumerate(known.world.tiers, 1):
        cutoffs = known.tier_cutoffs(tiers, as_of)
        found = defaultdict(list)
        for life in known.buyers:
            found[tier_by(tiers, life.worth_on(as_of), cutoffs)].append(life.worth_on(as_of))
        starts = [one.valid_from for one in known.world.tiers[number:]]
        valid_to = starts[0] - ONE_DAY if starts else None
        is_in_force = tiers.valid_from <= as_of and (valid_to is None or as_of <= valid_to)
        for order, (tier, label, label_zh, boundary, cutoff) in enumerate(
            (
                ("high", "High value", "高价值", Decimal(tiers.high), cutoffs[0]),
                ("medium", "Middle value", "中价值", Decimal(tiers.medium), cutoffs[1]),
                ("low", "Low value", "低价值", None, None),
            ),
            1,
        ):
            sums = (
                sum((worth.revenue for worth in found[tier]), NO_VALUE),
                sum((worth.margin for worth in found[tier]), NO_VALUE),
            )
            rows.append(
                (
                    *(number, tier, order, label, label_zh, tiers.valid_from, valid_to),
                    *(is_in_force, tiers.measure, tiers.method, boundary, cutoff),
                    *(len(found[tier]), *sums, "EUR"),
                )
            )
    return rows


def value_tier_movements(known: Known) -> list[tuple]:
    moves: dict[tuple, list[Decimal]] = defaultdict(list)
    for life in known.buyers:
        before = "none"
        for month in known.months:
            if life.bought[0] <= known.end_of(month):
                worth = life.worth_on(known.end_of(month))
                after = known.tier(worth, month)
                moves[month, before, after].append(worth.revenue)
                before = after
    return [
        (
            *(*key, len(values), sum(values, NO_VALUE), "EUR"),
            known.is_over(key[0]) and key[0] >= known.world.first_day,
        )
        for key, values in moves.items()
    ]


def customer_rfm(known: Known) -> list[tuple]:
    rows = []
    measures = {
        life.customer: (
            (known.world.as_of - life.bought[-1]).days,
            len(life.bought),
            sum(life.revenue.values(), NO_VALUE),
        )
        for life in known.buyers
    }
    worse_first = [
        sorted(-one[0] for one in measures.values()),
        sorted(one[1] for one in measures.values()),
        sorted(one[2] for one in measures.values()),
    ]
    for customer, (recency, frequency, monetary) in measures.items():
        r, f, m = (
            1 + 5 * bisect_left(values, value) // len(values)
            for values, value in zip(worse_first, (-recency, frequency, monetary), strict=True)
        )
        fm = floor(Fraction(f + m, 2) + Fraction(1, 2))
        figures = recency, frequency, monetary, "EUR", r, f, m, fm
        rows.append((customer, *figures, f"{r}{f}{m}", RFM_GROUPS[r, fm]["rfm_group"]))
    return rows
