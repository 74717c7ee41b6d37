"""Where customers stand on three axes on any day."""

from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import groupby

from reference.alerts import alarming, signals
from reference.known import Known
from reference.life import Life
from reference.numbers import ONE_DAY, month_of
from reference.seeds import RULES


def lifecycle_rule(known: Known, life: Life, day: date) -> str:
    world, count = known.world, bisect_right(life.bought, day)
    if not count:
        return "prospect_never_bought"
    silence = life.silence_on(day)
    since, allowed = (day - silence.start).days, silence.allowed
    if since > allowed:
        is_season = silence.definition.method == "season"
        return "lost_season_passed" if is_season else "lost_over_threshold"
    if 3 * since > allowed and since > world.alarm_gaps * silence.gap:
        return "alarm_over_own_rhythm"
    if 3 * since > 2 * allowed:
        return "alarm_over_two_thirds"
    for signal in signals(life):
        raised = max(signal.raised_on, silence.start)
        is_open = raised <= day and (signal.cleared_on is None or day < signal.cleared_on)
        if is_open and (signal.kind, month_of(raised)) in alarming(known):
            return "alarm_by_alert"
    since_purchase = (day - life.bought[0]).days
    if count == 1 and since_purchase <= world.new_days and 3 * since_purchase <= allowed:
        return "new_first_purchase"
    if count >= world.evergreen and 2 * silence.gap <= allowed:
        return "evergreen_steady_rhythm"
    return "vulnerable_no_rhythm"


def loyalty_rule(known: Known, life: Life, day: date) -> str:
    count = bisect_right(life.bought, day)
    if count >= known.world.client:
        if lifecycle_rule(known, life, day).startswith(("alarm", "lost")):
            return "repeat_client_slipping"
        if life.first_referral <= day:
            return "advocate_client_with_referral"
        return "client_many_purchase_days"
    if count:
        return "first_time_one_purchase_day" if count == 1 else "repeat_purchase_days"
    has_interacted = bisect_right(life.interacted, day) > 0
    return "prospect_interacted" if has_interacted else "suspect_no_interaction"


def contact_rule(known: Known, life: Life, day: date) -> str:
    count = bisect_right(life.bought, day)
    if count >= known.world.client:
        return "high_repurchase_days"
    if count:
        return "bought_purchase_days"
    is_contacted = life.first_contact <= day
    return "contacted_without_purchase" if is_contacted else "never_contacted_yet"


AXES = {
    "lifecycle_stage": lifecycle_rule,
    "loyalty_stage": loyalty_rule,
    "contact_stage": contact_rule,
}


@cache
def ruled_days(known: Known) -> dict[tuple[str, str], list[tuple[date, str]]]:
    """Return the rule of every known day, by customer and axis."""
    days = {}
    for life in known.lives.values():
        known_days = [
            life.history_starts + number * ONE_DAY
            for number in range((known.world.as_of - life.history_starts).days + 1)
        ]
        for axis, rule in AXES.items():
            days[life.customer, axis] = [(day, rule(known, life, day)) for day in known_days]
    return days


@cache
def customer_stage_history(known: Known) -> list[tuple]:
    rows = []
    for (customer, axis), days in ruled_days(known).items():
        for rule, run in groupby(days, key=lambda one: one[1]):
            held = [day for day, _ in run]
            stage = RULES[rule]["stage"]
            is_current = held[-1] == known.world.as_of
            rows.append((customer, axis, stage, rule, held[0], held[-1], is_current))
    return rows


def stage_transitions(known: Known) -> list[tuple]:
    last_value: dict[tuple, Decimal] = {}
    for customer, axis, _, _, valid_from, *_ in customer_stage_history(known):
        value = known.lives[customer].value_on(valid_from)
        last_value[customer, axis, month_of(valid_from)] = value
    count: Counter[tuple] = Counter()
    total: dict[tuple, Decimal] = defaultdict(Decimal)
    for (customer, axis), days in ruled_days(known).items():
        stages = {day: RULES[rule]["stage"] for day, rule in days}
        for month in known.months:
            before = stages.get(month - ONE_DAY, "unknown")
            after = stages.get(known.end_of(month))
            if after and after != before:
                key = month, axis, before, after
                count[key] += 1
                total[key] += last_value[customer, axis, month]
    return [(*key, number, total[key], "EUR") for key, number in count.items()]
