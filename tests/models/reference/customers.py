"""Customers as of a day, and who came, stayed and fell silent month by month."""

from collections import defaultdict
from datetime import date
from fractions import Fraction

from reference.known import Known
from reference.numbers import NO_VALUE, ONE_DAY, YEAR, month_of, rounded, share
from reference.seeds import RULES
from reference.stages import AXES


def customers(known: Known) -> list[tuple]:
    world, rows = known.world, []
    for life in known.lives.values():
        purchase = None, None
        hiatus = gap = threshold = lost_on = until_lost = tier = None
        rules = {axis: rule(known, life, world.as_of) for axis, rule in AXES.items()}
        stages = [(RULES[rule]["stage"], rule) for rule in rules.values()]
        is_lost = stages[0][0] == "lost"
        if life.bought:
            silence, purchase = life.silences[-1], (life.bought[0], life.bought[-1])
            hiatus, gap = (world.as_of - life.bought[-1]).days, rounded(silence.gap, 2)
            tier = known.tier(life.worth_on(world.as_of), known.months[-1])
            threshold = silence.allowed if silence.definition.method != "season" else None
            lost_on = silence.lost_on if is_lost else None
            until_lost = None if is_lost else (silence.lost_on - world.as_of).days
        regained = sum(loss.end is not None for loss in life.losses)
        rows.append(
            (
                *(life.customer, life.known_on, *purchase),
                life.interacted[-1] if life.interacted else None,
                *(len(life.bought), hiatus, gap),
                sum(life.revenue.values(), NO_VALUE),
                life.between(world.as_of - YEAR + ONE_DAY, world.as_of),
                *(life.value_on(world.as_of), "EUR"),
                *(part for pair in stages for part in pair),
                *(threshold, lost_on, until_lost),
                *(len(life.losses), regained, regained > 0 and not is_lost, tier),
                min((one.came_by for one in life.records if one.came_by), default=None),
                min((one.region for one in life.records if one.region), default=None),
            )
        )
    return rows


def active_by_month(known: Known) -> dict[date, set[str]]:
    active = defaultdict(set)
    for life in known.buyers:
        for day in life.bought:
            active[month_of(day)].add(life.customer)
    return active


def lifecycle_flow(known: Known) -> list[tuple]:
    active, before, ever, rows = active_by_month(known), set(), set(), []
    for month in known.months:
        now = active[month]
        returning, new = now & before, now - ever
        counts = len(now), len(new), len(returning), len(now - new - returning)
        is_complete = known.is_over(month) and month >= known.world.first_day
        rows.append((month, *counts, len(before - now), is_complete))
        before, ever = now, ever | now
    return rows


def cohort_retention(known: Known) -> list[tuple]:
    cohorts, rows = defaultdict(list), []
    for life in known.buyers:
        cohorts[month_of(life.bought[0])].append(life)
    for acquired, cohort in cohorts.items():
        total = NO_VALUE
        for since, month in enumerate(month for month in known.months if month >= acquired):
            end = known.end_of(month)
            bought = sum(any(month <= day <= end for day in life.bought) for life in cohort)
            later = sum(life.bought[-1] >= month for life in cohort)
            kept = sum(not life.is_lost_on(end) for life in cohort)
            revenue = sum((life.between(month, end) for life in cohort), NO_VALUE)
            total += revenue
            size = len(cohort)
            row = acquired, since, size
            for count in (bought, later, kept):
                row += count, share(count, size)
            each = rounded(Fraction(total) / size, 2)
            is_first = acquired == min(cohorts)
            rows.append((*row, revenue, each, "EUR", known.is_over(month), is_first))
    return rows
