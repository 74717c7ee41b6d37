"""Alerts: what calls for one, and how often each kind was right."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import groupby
from math import floor

from reference.known import Known
from reference.life import Life
from reference.numbers import NO_VALUE, ONE_DAY, Near, next_month, plus_months, share

KINDS = {
    "overdue": ("days of silence, against the expected gap", "up"),
    "value_down": ("net revenue per 30 days", "down"),
    "volume_down": ("quantity bought per 30 days", "down"),
    "basket_narrowing": ("sale lines per purchase day", "down"),
    "return_share_rising": ("share of sales returned", "up"),
}


@dataclass(frozen=True)
class Signal:
    """Figures of a customer that call for an alert, in the cycle of their n-th purchase day."""

    kind: str
    number: int
    raised_on: date
    cleared_on: date | None
    is_cleared_by_loss: bool
    figures: tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class Alert:
    customer: str
    kind: str
    raised_on: date
    cleared_on: date | None
    is_cleared_by_loss: bool
    figures: tuple[Fraction, Fraction, Fraction]
    next_lost_on: date | None


def earlier_and_recent(
    life: Life, number: int, measure: Callable[[Life, date, date], Fraction]
) -> tuple[Fraction, Fraction]:
    """Return a measure of the days after the first purchase day, and of the last two cycles."""
    first, medium, last = (life.bought[index] for index in (0, number - 3, number - 1))
    return measure(life, first + ONE_DAY, medium), measure(life, medium + ONE_DAY, last)


def revenue(life: Life, first: date, last: date) -> Fraction:
    return Fraction(life.between(first, last))


def quantity(life: Life, first: date, last: date) -> Fraction:
    days = (day for day in life.bought if first <= day <= last)
    return Fraction(sum(line.quantity or 0 for day in days for line in life.sales[day]))


def line_count(life: Life, first: date, last: date) -> Fraction:
    return Fraction(sum(len(life.sales[day]) for day in life.bought if first <= day <= last))


def raw_signals(life: Life) -> Iterator[tuple[str, int, date, tuple[Fraction, Fraction, Fraction]]]:
    kept = 1 - Fraction(life.world.decline)
    for number in range(5, len(life.bought) + 1):
        first, medium, day = (life.bought[index] for index in (0, number - 3, number - 1))
        for kind, measure in (("value_down", revenue), ("volume_down", quantity)):
            earlier, recent = earlier_and_recent(life, number, measure)
            usual = 30 * earlier / (medium - first).days
            seen = 30 * recent / (day - medium).days
            if earlier > 0 and seen < kept * usual:
                yield kind, number, day, (usual, seen, kept * usual)
        earlier, recent = earlier_and_recent(life, number, line_count)
        usual, seen = earlier / (number - 3), recent / 2
        if usual >= 2 and seen < kept * usual:
            yield "basket_narrowing", number, day, (usual, seen, kept * usual)
    for number in range(4, len(life.bought) + 1):
        until = [*life.bought, date.max][number]
        for day in sorted(set(life.revenue)):
            figures = life.bought[number - 1] <= day < until and returns(life, number, day)
            if figures:
                yield "return_share_rising", number, day, figures
                break


def returns(life: Life, number: int, day: date) -> tuple[Fraction, Fraction, Fraction] | None:
    before = life.bought[number - 2]

    def total(amounts: dict[date, Decimal], first: date, last: date) -> Fraction:
        return Fraction(sum((a for d, a in amounts.items() if first <= d <= last), NO_VALUE))

    sold = {day: sum(line.amount for line in lines) for day, lines in life.sales.items()}
    earlier, recent = (date.min, before - ONE_DAY), (before, day)
    if not total(sold, *earlier) > 0 or not total(sold, *recent) > 0:
        return None
    usual = total(life.returned, *earlier) / total(sold, *earlier)
    seen = total(life.returned, *recent) / total(sold, *recent)
    threshold = usual + Fraction(life.world.return_rise)
    return (usual, seen, threshold) if seen > threshold else None


@cache
def signals(life: Life) -> list[Signal]:
    """Return what calls for an alert while the customer is not lost already."""
    found = []
    for kind, number, day, figures in raw_signals(life):
        if not life.is_lost_on(day):
            next_purchase = [*life.bought, None][number]
            loss = life.next_loss(day)
            is_loss = loss is not None and (next_purchase is None or loss <= next_purchase)
            cleared = loss if is_loss else next_purchase
            found.append(Signal(kind, number, day, cleared, is_loss, figures))
    return found


def alerts_of(life: Life) -> Iterator[Alert]:
    for silence in life.silences:
        allowed, own = silence.allowed, life.world.alarm_gaps * silence.gap
        patience = floor(min(max(own, Fraction(allowed, 3)), Fraction(2 * allowed, 3)))
        raised = silence.start + (patience + 1) * ONE_DAY
        if raised <= life.world.as_of and (silence.end is None or raised < silence.end):
            yield Alert(
                life.customer,
                "overdue",
                raised,
                silence.lost_on if silence.is_lost else silence.end,
                silence.is_lost,
                (silence.gap, Fraction(patience + 1), Fraction(patience)),
                life.next_loss(raised - ONE_DAY),
            )
    by_kind = sorted(signals(life), key=lambda one: (one.kind, one.number))
    for kind, found in groupby(by_kind, key=lambda one: one.kind):
        run: list[Signal] = []
        for signal in [*found, None]:
            goes_on = (
                run
                and signal
                and signal.number == run[-1].number + 1
                and not run[-1].is_cleared_by_loss
            )
            if run and not goes_on:
                yield Alert(
                    life.customer,
                    kind,
                    run[0].raised_on,
                    run[-1].cleared_on,
                    run[-1].is_cleared_by_loss,
                    run[0].figures,
                    life.next_loss(run[0].raised_on),
                )
                run = []
            if signal:
                run.append(signal)


@cache
def all_alerts(known: Known) -> list[Alert]:
    return [alert for life in known.buyers for alert in alerts_of(life)]


def horizon(known: Known) -> int:
    return known.world.lost // 30 + 2


@cache
def active_at_start(known: Known) -> dict[date, list[date | None]]:
    """Return, by month, the next loss of everybody who was active as it began."""
    active = defaultdict(list)
    for month in known.months:
        for life in known.buyers:
            if life.bought[0] < month and not life.is_lost_on(month - ONE_DAY):
                active[month].append(life.next_loss(month - ONE_DAY))
    return active


def known_quality(known: Known, kind: str, month: date) -> tuple[int, int, int, int]:
    """Return alerts and right ones, actives and lost ones, whose outcome a month began with."""
    alerts = right = base = base_lost = 0
    for alert in all_alerts(known):
        end = plus_months(alert.raised_on, horizon(known))
        if alert.kind == kind and next_month(end) <= month:
            alerts += 1
            right += alert.next_lost_on is not None and alert.next_lost_on < end
    for start, losses in active_at_start(known).items():
        end = plus_months(start, horizon(known))
        if end <= month:
            base += len(losses)
            base_lost += sum(loss is not None and loss < end for loss in losses)
    return alerts, right, base, base_lost


@cache
def alarming(known: Known) -> set[tuple[str, date]]:
    """Return the kinds of alert, and months, that put a customer into alarm."""
    found = set()
    for month in known.months:
        for kind in KINDS:
            alerts, right, base, base_lost = known_quality(known, kind, month)
            proven = (
                alerts >= 30
                and right
                and base
                and Fraction(right, alerts)
                >= Fraction(known.world.lift) * Fraction(base_lost, base)
            )
            if kind == "overdue" or proven:
                found.add((kind, month))
    return found


def alerts(known: Known) -> list[tuple]:
    rows = []
    for alert in all_alerts(known):
        metric, direction = KINDS[alert.kind]
        figures = (Near(figure) for figure in alert.figures)
        outcome = "lost" if alert.is_cleared_by_loss else "recovered"
        outcome = outcome if alert.cleared_on else "open"
        dates = alert.raised_on, alert.cleared_on, outcome
        rows.append((alert.customer, alert.kind, metric, *figures, direction, *dates))
    return rows


def alert_quality(known: Known) -> list[tuple]:
    month, rows = known.months[-1], []
    losses = {
        (life.customer, loss.lost_on)
        for life in known.buyers
        for loss in life.losses
        if loss.lost_on < month
    }
    months = sum(len(active_at_start(known)[one]) for one in known.months if one < month)
    for kind in KINDS:
        alerts, right, base, base_lost = known_quality(known, kind, month)
        raised = [one for one in all_alerts(known) if one.kind == kind and one.raised_on < month]
        warnings: dict[tuple, int] = {}
        for alert in raised:
            loss = alert.next_lost_on
            if loss and loss < min(month, plus_months(alert.raised_on, horizon(known))):
                key = alert.customer, loss
                warnings[key] = max(warnings.get(key, 0), (loss - alert.raised_on).days)
        days = sorted(warnings.values())
        is_alarming = (kind, month) in alarming(known)
        finding = "puts customers into alarm: right often enough, against the base rate"
        if kind == "overdue":
            finding = "puts customers into alarm by their own rhythm, whatever its record: "
            if alerts < 30:
                finding += "fewer than 30 alerts with a known outcome"
            elif right * base > base_lost * alerts:
                finding += "right more often than the base rate"
            else:
                finding += "right no more often than the base rate"
        elif alerts < 30:
            finding = "informs only: fewer than 30 alerts with a known outcome"
        elif not is_alarming:
            finding = "informs only: not right often enough, against the base rate"
        rows.append(
            (
                *(kind, month, horizon(known), alerts, share(right, alerts)),
                *(share(base_lost, base), share(len(warnings), len(losses))),
                days[(len(days) - 1) // 2] if days else None,
                Near(Fraction(12 * len(raised), months)) if months else None,
                *(is_alarming, finding),
            )
        )
    return rows
