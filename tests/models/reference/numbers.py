"""Months, shares and rounding, and rows compared with what tables show of them."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache

ONE_DAY = timedelta(days=1)
YEAR = 365 * ONE_DAY
NO_VALUE = Decimal(0)


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return month_of(month_of(month) + timedelta(days=31))


@cache
def plus_months(day: date, months: int) -> date:
    month = month_of(day)
    for _ in range(months):
        month = next_month(month)
    return month + min(day.day - 1, (next_month(month) - month).days - 1) * ONE_DAY


def rounded(value: Fraction, digits: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def share(numerator: int, denominator: int) -> Decimal | None:
    return rounded(Fraction(numerator, denominator), 6) if denominator else None


def share_of_amounts(numerator: Decimal, denominator: Decimal) -> Decimal | None:
    return rounded(Fraction(numerator) / Fraction(denominator), 6) if denominator > 0 else None


class Near(Fraction):
    """A number that a table shows rounded from floating point: a tie may fall either way."""

    def is_shown_as(self, shown: Decimal | None) -> bool:
        if shown is None:
            return False
        unit = Fraction(10) ** int(shown.as_tuple().exponent)
        return abs(Fraction(shown) - self) <= unit / 2 + Fraction(1, 10**9)


def differences(actual: list[tuple], expected: list[tuple]) -> tuple[list, list]:
    """Return up to three rows that only one side has; a Near number may be shown either way."""
    assert len(actual) == len(set(actual)), "a row occurs twice"

    def key(row: tuple) -> tuple:
        return tuple(row[n] for n in exact)

    exact = [
        n for n in range(len(expected[0])) if not any(isinstance(row[n], Near) for row in expected)
    ]
    found, wanted = defaultdict(list), defaultdict(list)
    for row in actual:
        found[key(row)].append(row)
    for row in expected:
        wanted[key(row)].append(row)
    only_actual, only_expected = [], []
    for one in found.keys() | wanted.keys():
        same = len(found[one]) == len(wanted[one]) and all(
            part.is_shown_as(shown) if isinstance(part, Near) else part == shown
            for row, wish in zip(found[one], wanted[one], strict=True)
            for shown, part in zip(row, wish, strict=True)
        )
        if not same:
            only_actual += found[one]
            only_expected += wanted[one]
    return sorted(only_actual, key=str)[:3], sorted(only_expected, key=str)[:3]
