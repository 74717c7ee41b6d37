"""One customer: what they bought and did, and how long they were silent."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from support.random_shop import Contact, Definition, Line, Member, World

from reference.churn_definitions import first_lost_day, in_force
from reference.numbers import NO_VALUE, ONE_DAY, YEAR, rounded
from reference.worth import Worth, purchase_class


@dataclass
class Silence:
    """From an activity of a buyer to the next."""

    start: date
    end: date | None
    last_purchase: date
    worth: Worth
    gap: Fraction
    definition: Definition
    lost_on: date
    is_lost: bool

    @property
    def value(self) -> Decimal:
        return self.worth.revenue

    @property
    def allowed(self) -> int:
        return (self.lost_on - self.start).days - 1


class Life:
    """All that is known of one customer by the as-of date."""

    def __init__(self, world: World, customer: str) -> None:
        self.world, self.customer = world, customer
        self.revenue: dict[date, Decimal] = defaultdict(Decimal)
        self.sales: dict[date, list[Line]] = defaultdict(list)
        self.returned: dict[date, Decimal] = defaultdict(Decimal)
        self.adjusted: dict[date, Decimal] = defaultdict(Decimal)
        self.exact_margin: dict[date, Fraction] = defaultdict(Fraction)
        self.records: list[Member] = []
        self.contacts: list[Contact] = []
        # By the class of a purchase day, once all lives are known.
        self.return_shares: Mapping[int, Fraction] = {}

    def between(self, first: date, last: date) -> Decimal:
        return sum((a for day, a in self.revenue.items() if first <= day <= last), NO_VALUE)

    @cached_property
    def bought(self) -> list[date]:
        return sorted(self.sales)

    @cached_property
    def values(self) -> list[Decimal]:
        return [self.between(day - YEAR + ONE_DAY, day) for day in self.bought]

    def margin_between(self, first: date, last: date) -> Decimal:
        days = (exact for day, exact in self.exact_margin.items() if first <= day <= last)
        return sum((rounded(exact, 2) for exact in days), NO_VALUE)

    @cached_property
    def margins(self) -> list[Decimal]:
        return [self.margin_between(day - YEAR + ONE_DAY, day) for day in self.bought]

    def value_on(self, day: date) -> Decimal:
        """Return the value at stake by the latest purchase of that day or before."""
        return self.worth_on(day).revenue

    def worth_on(self, day: date) -> Worth:
        """Return the worth by the latest purchase of that day or before."""
        number = bisect_right(self.bought, day)
        if not number:
            return Worth()
        margin = self.margins[number - 1]
        expected = rounded(abs(Fraction(margin)) * self.return_shares[purchase_class(number)], 2)
        return Worth(self.values[number - 1], margin, expected.copy_sign(margin))

    def order_count(self, day: date) -> int:
        orders = {line.order for line in self.sales[day]} - {None}
        return len(orders) or 1

    @cached_property
    def interacted(self) -> list[date]:
        return sorted({one.day for one in self.contacts if one.is_by_customer})

    @cached_property
    def first_contact(self) -> date:
        return min((one.day for one in self.contacts), default=date.max)

    @cached_property
    def first_referral(self) -> date:
        days = (one.day for one in self.contacts if one.kind == "referral")
        return min(days, default=date.max)

    @cached_property
    def known_on(self) -> date | None:
        days = [*self.revenue, *(one.day for one in self.contacts)]
        days += [one.joined for one in self.records if one.joined]
        return min(days, default=None)

    @cached_property
    def history_starts(self) -> date:
        if self.known_on is None:
            return self.world.first_day
        if any(one.joined is None for one in self.records):
            return min(self.known_on, self.world.first_day)
        return self.known_on

    @cached_property
    def silences(self) -> list[Silence]:
        if not self.bought:
            return []
        days = set(self.bought)
        if self.world.basis == "both":
            days |= {day for day in self.interacted if day > self.bought[0]}
        active, found = sorted(days), []
        for index, (start, end) in enumerate(pairwise([*active, None])):
            total = (start - active[0]).days + 2 * self.world.typical
            gap = Fraction(total, index + 2)
            definition = in_force(self.world.definitions, start)
            lost_on = first_lost_day(definition, start, gap)
            found.append(
                Silence(
                    start,
                    end,
                    self.bought[bisect_right(self.bought, start) - 1],
                    self.worth_on(start),
                    gap,
                    definition,
                    lost_on,
                    is_lost=lost_on <= (end or self.world.as_of),
                )
            )
        return found

    def silence_on(self, day: date) -> Silence:
        return self.silences[bisect_right(self.silences, day, key=lambda one: one.start) - 1]

    def next_loss(self, day: date) -> date | None:
        """Return the first day as a lost customer after a day on which they are not."""
        return min((one.lost_on for one in self.losses if one.lost_on > day), default=None)

    @cached_property
    def losses(self) -> list[Silence]:
        return [one for one in self.silences if one.is_lost]

    def is_lost_on(self, day: date) -> bool:
        return self.silence_on(day).lost_on <= day
