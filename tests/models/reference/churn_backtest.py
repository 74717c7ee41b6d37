"""How often churn definitions would have been right."""

from collections import Counter
from datetime import date
from fractions import Fraction

from support.random_shop import Definition

from reference.churn_definitions import compared, in_force, lost_by
from reference.known import Known
from reference.life import Life
from reference.numbers import ONE_DAY, Near, month_of, plus_months, share


def cutoffs(known: Known) -> list[date]:
    world = known.world
    return [
        month
        for month in known.months
        if world.first_day + 180 * ONE_DAY <= month <= world.as_of - 90 * ONE_DAY
        and plus_months(month, 27) > month_of(world.as_of)
    ]


def churn_definition_backtest(known: Known) -> list[tuple]:
    rows = []
    for name, versions in compared(known.world).items():
        for cutoff in cutoffs(known):
            for horizon in (90, 180):
                if cutoff + horizon * ONE_DAY > known.world.as_of:
                    continue
                called = Counter(
                    (
                        is_called(versions, life, cutoff),
                        bought_after(life, cutoff, horizon),
                    )
                    for life in known.buyers
                    if life.bought[0] <= cutoff
                )
                days = in_force(versions, cutoff)
                days = days.lost if days.method == "fixed" else None
                rows.append((name, cutoff, horizon, days, days, *scores(called)))
    return rows


def is_called(versions: tuple[Definition, ...], life: Life, cutoff: date) -> bool:
    silence = life.silence_on(cutoff)
    lost_on = lost_by(versions, silence.start, silence.gap)
    return lost_on is not None and lost_on <= cutoff


def bought_after(life: Life, cutoff: date, days: int) -> bool:
    return any(cutoff < day <= cutoff + days * ONE_DAY for day in life.bought)


def scores(called: Counter[tuple[bool, bool]]) -> tuple:
    """Return the counts and rates of a back-test, from (called lost, bought again)."""
    lost = called[True, True] + called[True, False]
    gone = called[True, False] + called[False, False]
    everybody = called.total()
    wrong = called[True, True] + called[False, False]
    balanced = None
    if gone and everybody > gone:
        balanced = Near(
            Fraction(called[True, False], 2 * gone)
            + Fraction(called[False, True], 2 * (everybody - gone))
        )
    counts = everybody, lost, called[True, True], called[False, False], gone
    rates = share(called[True, True], lost), share(called[False, False], gone)
    return (*counts, *rates, share(everybody - wrong, everybody), balanced)
