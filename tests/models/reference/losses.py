"""Losses, how many of them there are, and whom to win back."""

from collections import defaultdict
from datetime import date
from fractions import Fraction
from typing import Any

from reference.churn_definitions import compared, lost_by
from reference.customers import customers
from reference.known import Known
from reference.life import Life
from reference.numbers import NO_VALUE, ONE_DAY, YEAR, Near, month_of, next_month, share


def lost_episodes(known: Known) -> list[tuple]:
    as_of, rows = known.world.as_of, []
    for life in known.buyers:
        for number, loss in enumerate(life.losses, 1):
            back = loss.end
            after = second = is_over = ratio = is_second_over = None
            if back:
                next_loss = [*life.losses, None][number]
                after = life.between(back, back + YEAR - ONE_DAY)
                is_over = back + YEAR - ONE_DAY <= as_of
                lost_again = next_loss.lost_on if next_loss else as_of + ONE_DAY
                second = life.between(back, lost_again - ONE_DAY)
                is_second_over = next_loss is not None
                if is_over and loss.value > 0:
                    ratio = Near(Fraction(after) / Fraction(loss.value))
            rows.append(
                (
                    *(life.customer, number, loss.last_purchase, loss.lost_on, back),
                    *(((back or as_of) - loss.lost_on).days, back is None),
                    *(known.tier_of(loss), loss.value, after, is_over, ratio),
                    *(second, is_second_over, "EUR"),
                )
            )
    return rows


def lost_customers_by_month(known: Known) -> list[tuple]:
    losses, rows = [loss for life in known.buyers for loss in life.losses], []
    first = min(month_of(loss.lost_on) for loss in losses)
    for month in (month for month in known.months if month >= first):
        for tier in ("high", "medium", "low"):
            found = [
                loss
                for loss in losses
                if month_of(loss.lost_on) == month and known.tier_of(loss) == tier
            ]
            value = sum((loss.value for loss in found), NO_VALUE)
            lengths = [(loss.end - loss.lost_on).days for loss in found if loss.end]
            within = []
            for days in (30, 60, 90, 180, 365):
                is_mature = next_month(month) + (days - 1) * ONE_DAY <= known.world.as_of
                recovered = sum(length <= days for length in lengths)
                within.append(recovered if is_mature else None)
            rows.append((month, tier, len(found), value, len(lengths), *within, "EUR"))
    return rows


def winback_candidates(known: Known) -> list[tuple]:
    """Return rank and customer_id."""
    tiers = ("high", "medium", "low")
    order = sorted(
        (tiers.index(row[-3]), -row[10], row[6], row[0])
        for row in customers(known)
        if row[12] in ("lost", "alarm") and row[10] > 0
    )
    return [(rank, customer) for rank, (*_, customer) in enumerate(order, 1)]


def churn_rates(known: Known) -> list[tuple]:
    rows = []
    for name, versions in compared(known.world).items():
        if name in ("everybody_lost", "nobody_lost"):
            continue
        cells: dict[tuple, list[Any]] = defaultdict(lambda: [0, 0, NO_VALUE])
        for life in known.buyers:
            segments = segments_of(known, life)
            for month in known.months:
                if life.bought[0] >= month:
                    continue
                silence = life.silence_on(month - ONE_DAY)
                lost_on = lost_by(versions, silence.start, silence.gap)
                if lost_on < month:
                    continue
                end = min(known.end_of(month), silence.end or date.max)
                for segment in (*segments, ("value_tier", known.tier_of(silence))):
                    cell = cells[month, *segment]
                    cell[0] += 1
                    if lost_on <= end:
                        cell[1] += 1
                        cell[2] += silence.value
        for (month, *segment), (base, lost, value) in cells.items():
            days = (known.end_of(month) - month).days + 1
            is_complete = known.is_over(month) and month >= known.world.first_day
            yearly = Near(1 - (1 - lost / base) ** (365 / days)) if is_complete else None
            rates = share(lost, base), yearly
            rows.append((month, name, *segment, base, lost, *rates, value, "EUR", is_complete))
    return rows


def segments_of(known: Known, life: Life) -> list[tuple[str, str]]:
    found = [("all", "all"), ("acquisition_year", str(life.bought[0].year))]
    for segment, values in (
        ("acquisition_source", [one.came_by for one in life.records if one.came_by]),
        ("region", [one.region for one in life.records if one.region]),
    ):
        found += [(segment, min(values))] if values else []
    return found
