"""All that is known of a shop by the as-of date."""

from datetime import date
from decimal import Decimal

from support.random_shop import Events, Tiers, World

from reference.life import Life, Silence
from reference.numbers import NO_VALUE, ONE_DAY, month_of, next_month
from reference.worth import Worth, least_values, measured, return_shares, tier_by


class Known:
    """The customers of a shop, its months, and the tiers of value at the end of each."""

    def __init__(self, world: World, events: Events) -> None:
        self.world = world
        self.lives: dict[str, Life] = {}
        for line in events.lines:
            if line.customer and line.day <= world.as_of:
                life = self._life(line.customer)
                life.revenue[line.day] += line.worth if line.is_used else NO_VALUE
                life.exact_margin[line.day] += line.margin
                if line.kind == "sale":
                    life.sales[line.day].append(line)
                if line.kind == "return":
                    life.returned[line.day] -= line.worth
                if line.kind == "adjustment":
                    life.adjusted[line.day] += line.amount
        for member in events.members:
            if member.joined is None or member.joined <= world.as_of:
                self._life(member.customer).records.append(member)
        for contact in events.contacts:
            if contact.day <= world.as_of:
                self._life(contact.customer).contacts.append(contact)
        self.buyers = [life for life in self.lives.values() if life.bought]
        shares = return_shares(world.as_of, [life.bought for life in self.buyers])
        for life in self.buyers:
            life.return_shares = shares
        self.months = [month_of(world.first_day)]
        while self.months[-1] < month_of(world.as_of):
            self.months.append(next_month(self.months[-1]))
        self.cutoffs_by_month = {
            month: self.tier_cutoffs(self.tiers_in_force(month), self.end_of(month))
            for month in self.months
        }

    def _life(self, customer: str) -> Life:
        if customer not in self.lives:
            self.lives[customer] = Life(self.world, customer)
        return self.lives[customer]

    def end_of(self, month: date) -> date:
        return min(next_month(month) - ONE_DAY, self.world.as_of)

    def is_over(self, month: date) -> bool:
        return next_month(month) - ONE_DAY <= self.world.as_of

    def tiers_in_force(self, month: date) -> Tiers:
        end = self.end_of(month)
        return [one for one in self.world.tiers if one.valid_from <= end][-1]

    def tier_cutoffs(self, tiers: Tiers, end: date) -> tuple[Decimal, Decimal] | None:
        buyers = [life for life in self.buyers if life.bought[0] <= end]
        return least_values(tiers, [measured(tiers, life.worth_on(end)) for life in buyers])

    def tier(self, worth: Worth, month: date) -> str:
        return tier_by(self.tiers_in_force(month), worth, self.cutoffs_by_month[month])

    def tier_of(self, silence: Silence) -> str:
        return self.tier(silence.worth, month_of(silence.start))
