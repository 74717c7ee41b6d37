"""Scores of made-up customers, and the intervals of what is to come."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.made_up import AS_OF, MBG, ORDER_VALUES, Customer, drawn, past, snapshot

from dagster_project.scores import rules
from dagster_project.scores.backtests import CurrentFits, make_tests
from dagster_project.scores.customer_base.gamma_gamma import fit_gamma_gamma
from dagster_project.scores.customer_base.histories import Histories, Limits, OrderValues
from dagster_project.scores.customer_base.purchase_models import MODELS, fit
from dagster_project.scores.rules import EMPIRICAL_TABLE, HIATUS_RULE
from dagster_project.scores.score_choice import CANDIDATES, Choice
from dagster_project.scores.scorer import Scorer, interval, make_scorer
from dagster_project.scores.snapshot import Snapshot, history_of


@pytest.mark.parametrize("publisher", [HIATUS_RULE, EMPIRICAL_TABLE])
def test_published_rules_learn_from_what_followed_the_last_cutoff(publisher: str) -> None:
    tests = make_tests(past({30: 10, 90: 1}), Limits(buyers=1000))
    today = CurrentFits.fit(snapshot(), np.ones(600), Limits(buyers=1000))
    choices = {name: Choice(None, None, "") for name in CANDIDATES}
    choices["expected_purchase_days"] = Choice("nbd", HIATUS_RULE, "")
    choices["repurchase_probability_90d"] = Choice(publisher, publisher, "")
    scorer = make_scorer(0.10, 0.25, tests, today, choices)
    assert scorer.repurchase_forecast.counts == pytest.approx(1)
    assert {days: rule.counts.tolist() for days, rule in scorer.count_rules.items()} == {
        30: pytest.approx([10, 10]),
        90: pytest.approx([1, 1]),
    }


def test_the_published_table_gives_every_tier_its_own_cell_in_every_batch() -> None:
    customers = snapshot()
    table = rules.EmpiricalTable.learn(customers)
    scorer = Scorer(0.10, 0.25, repurchase_forecast=table)
    is_low = customers.value_tier == 0
    batch = Snapshot(
        **{name: getattr(customers, name)[is_low] for name in Snapshot.__dataclass_fields__}
    )
    score = "repurchase_probability_90d"
    every = scorer.scores(customers, np.ones(len(customers)))[score]
    assert scorer.scores(batch, np.ones(len(batch)))[score].tolist() == every[is_low].tolist()
    raised = replace(batch, value_tier=np.full(len(batch), 2))
    assert (scorer.scores(raised, np.ones(len(batch)))[score] != every[is_low]).any()


def test_ends_of_an_interval_leave_a_twentieth_on_either_side() -> None:
    draws = np.random.default_rng(1).permutation(np.arange(200))[None, :]
    assert interval(draws).tolist() == [[10], [189]]


@pytest.fixture(scope="module")
def base() -> list[Customer]:
    return list(drawn(800, seed=5))


def today_of(customers: Sequence[Customer]) -> tuple[Snapshot, np.ndarray]:
    """Return customers as of the as-of date with the mean value of their repeat purchases."""
    days = [[day for day, _ in one.purchases] for one in customers]
    repeat = [[amount for _, amount in one.purchases[1:]] for one in customers]
    return (
        Snapshot(
            repeat_count=np.array([len(one) - 1 for one in days]),
            days_to_last=np.array([(one[-1] - one[0]).days for one in days]),
            days_observed=np.array([(AS_OF - one[0]).days for one in days]),
            value_tier=np.zeros(len(days), int),
            group_number=np.arange(len(days)) % 500,
        ),
        np.array([sum(one) / max(1, len(one)) for one in repeat]),
    )


def scorer_of(customers: Snapshot, mean_value: np.ndarray, model: str = "mbg_nbd") -> Scorer:
    histories = Histories.grouped(*history_of(customers))
    values = OrderValues.grouped(customers.repeat_count, mean_value)
    return Scorer(
        0.10,
        margin_rate=0.25,
        count_fit=fit(model, histories),
        order_value_fit=fit_gamma_gamma(values),
    )


def test_draws_have_the_expected_value_as_their_mean(base) -> None:
    customers, mean_value = today_of(base)
    scorer = scorer_of(customers, mean_value)
    draws = scorer.draws(customers, mean_value, np.random.default_rng(3))
    expected = scorer.scores(customers, mean_value)["clv_365d"].sum()
    totals = draws.sum(axis=0)
    # Parameters scatter around the fit, so the mean of the draws is near the value at the fit.
    assert totals.mean() == pytest.approx(
        expected, abs=float(4 * totals.std() / math.sqrt(len(totals)))
    )


@pytest.mark.parametrize("model", ["mbg_nbd", "pareto_nbd"])
def test_odds_followed_along_their_slopes_are_those_computed_anew(model: str, base) -> None:
    customers, mean_value = today_of(base)
    scorer = scorer_of(customers, mean_value, model)
    history = history_of(customers)
    odds, slopes = scorer._alive_odds(*history)
    fit = scorer.count_fit
    errors = []
    for parameters in fit.draws(50, np.random.default_rng(1)):
        exact = MODELS[model].probability_alive(parameters, *history)
        followed = 1 / (1 + np.exp(-odds - np.log(parameters / fit.values) @ slopes))
        errors.append(abs(exact.mean() - followed.mean()))
    # In the draws furthest from the fit, which are few, odds do bend.
    assert np.percentile(errors, 90) < 0.01
    assert np.mean(errors) < 0.006


COHORTS, SEEDS = 10, 40


def futures(count: int, rng: np.random.Generator) -> tuple[Snapshot, np.ndarray, np.ndarray]:
    """Draw customers and their discounted margin of the 365 days to come, event by event.

    Times are not rounded, so that what is measured is the interval and not the calendar.
    """
    r, alpha, a, b = MBG
    p, q, gamma = ORDER_VALUES
    observed = rng.uniform(90, 700, count)
    rate, chance = rng.gamma(r, 1 / alpha, count) / 7, rng.beta(a, b, count)
    scale = rng.gamma(q, 1 / gamma, count)
    repeat_count, last = np.zeros(count), np.zeros(count)
    spent, value = np.zeros(count), np.zeros(count)
    time, buying = np.zeros(count), np.flatnonzero(rng.random(count) > chance)
    while len(buying):
        time[buying] += rng.exponential(1 / rate[buying])
        buying = buying[time[buying] <= observed[buying] + 365]
        amount = rng.gamma(p, 1 / scale[buying])
        is_past = time[buying] <= observed[buying]
        past, future = buying[is_past], buying[~is_past]
        repeat_count[past] += 1
        last[past] = time[past]
        spent[past] += amount[is_past]
        years = (time[future] - observed[future]) / 365
        value[future] += 0.25 * amount[~is_past] * 1.1**-years
        buying = buying[rng.random(len(buying)) > chance[buying]]
    customers = Snapshot(
        repeat_count=repeat_count,
        days_to_last=last,
        days_observed=observed,
        value_tier=np.zeros(count, int),
        group_number=np.zeros(count),
    )
    return customers, spent / np.maximum(repeat_count, 1), value


def test_predictive_intervals_of_cohorts_cover_what_came() -> None:
    covered = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        customers, mean_value, value = futures(1500, rng)
        draws = scorer_of(customers, mean_value).draws(customers, mean_value, rng)
        cohort = np.minimum((customers.days_observed - 90) // 61, COHORTS - 1)
        for number in range(COHORTS):
            members = cohort == number
            low, high = interval(draws[members].sum(axis=0)[None, :])
            covered.append(low[0] <= value[members].sum() <= high[0])
    assert len(covered) == 400
    assert 0.85 <= np.mean(covered) <= 0.95


def test_rules_that_need_no_fit_publish_what_they_learnt() -> None:
    customers, mean_value = today_of(list(drawn(50, 3)))
    past = replace(customers, next_period_count=np.arange(50) % 3)
    rule = rules.HiatusRule.learn(past)
    scorer = Scorer(0.10, 0.25, repurchase_forecast=rule, count_rules={90: rule})
    scores = scorer.scores(customers, mean_value)
    is_recent = (customers.days_since_last_purchase <= 91).astype(int)
    assert scores["repurchase_probability_90d"].tolist() == rule.rates[is_recent].tolist()
    assert scores["expected_purchase_days_90d"].tolist() == rule.counts[is_recent].tolist()
    assert np.isnan(scores["expected_purchase_days_365d"]).all()
    assert np.isnan(scores["clv_365d"]).all()
