"""The three powers of customers, against plain Python."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from math import isclose
from statistics import fmean

from support.four_years import Customer, FourYears


def score(values: dict[str, float | None], *, least_is_best: bool = False) -> dict[str, float]:
    """Return the share, in per cent, of those with a value who have no more; none gives 0."""
    known = {name: -value if least_is_best else value for name, value in values.items()
             if value is not None}  # fmt: skip
    ordered = sorted(known.values())
    return {
        name: 100 * bisect_right(ordered, known[name]) / len(ordered) if name in known else 0.0
        for name in values
    }


def some(customers: list[Customer], value: Callable[[Customer], float]) -> dict[str, float | None]:
    """Return a value by customer, none where it is not above zero."""
    return {one.name: value(one) if value(one) > 0 else None for one in customers}


def rate_of(customer: Customer) -> float | None:
    kinds = Counter(one[1] for one in customer.recent())
    sent = kinds["message_sent"]
    return min(kinds["message_opened"], sent) / sent if sent else None


def test_powers_are_means_of_scores_among_those_who_have_something(four_years: FourYears) -> None:
    customers, own = (
        four_years.customers,
        ("visit", "message_opened", "referral", "survey", "review"),
    )
    last = {
        one.name: max((c[0] for c in one.seen() if c[1] in own), default=None) for one in customers
    }
    since = {
        one.name: None if last[one.name] is None else one.tenure - last[one.name]
        for one in customers
    }
    rates = {one.name: rate_of(one) for one in customers}
    answers = score({name: rate or None for name, rate in rates.items()})
    surveys = {
        one.name: fmean(c[2] for c in one.seen() if c[1] == "survey")
        if any(c[1] == "survey" for c in one.seen())
        else None
        for one in customers
    }

    def counted(kind: str) -> dict[str, float | None]:
        return some(customers, lambda one: sum(c[1] == kind for c in one.seen()))

    expected = {
        "purchase_recency_score": score(
            {one.name: one.tenure - one.days[-1] for one in customers}, least_is_best=True
        ),
        "purchase_frequency_score": score(
            some(customers, lambda one: sum(day > one.tenure - 365 for day in one.days))
        ),
        "purchase_monetary_score": score(
            some(customers, lambda one: one.spent(max(one.tenure - 364, 0), one.tenure))
        ),
        "interaction_recency_score": score(since, least_is_best=True),
        "interaction_frequency_score": score(
            some(customers, lambda one: len({c[0] for c in one.recent() if c[1] in own}))
        ),
        "interaction_variety_score": score(
            some(customers, lambda one: len({c[1] for c in one.recent() if c[1] in own}))
        ),
        "interaction_answer_score": {
            name: None if rate is None else answers[name] for name, rate in rates.items()
        },
        "referral_score": score(counted("referral")),
        "review_score": score(counted("review")),
        "survey_score": score(surveys),
    }
    powers = {
        "purchase_power": list(expected)[:3],
        "interaction_power": list(expected)[3:7],
        "influence_power": list(expected)[7:],
    }
    rows = {row["customer_id"]: row for row in four_years.rows("from marts.customer_powers")}
    assert rows.keys() == {one.name for one in customers}
    for name, row in rows.items():
        for column, values in expected.items():
            shown = row[column] if row[column] is None else float(row[column])
            same = shown == values[name] or isclose(shown, values[name], abs_tol=0.0051)
            assert same, (name, column, shown, values[name])
        for column, parts in powers.items():
            known = [expected[part][name] for part in parts if expected[part][name] is not None]
            # Of rounded scores.
            assert isclose(float(row[column]), fmean(known), abs_tol=0.0102), (name, column)
    assert {row["interaction_note"] for row in rows.values()} == {None}
