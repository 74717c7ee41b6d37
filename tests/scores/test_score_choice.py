"""What publishes, as made-up forecasts of known sharpness compete."""

import numpy as np
import pytest
from support.contests import FITS, contest, fitted
from support.made_up import snapshot

from dagster_project.scores import score_choice
from dagster_project.scores.backtests import Backtest, CurrentFits, refusal
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.purchase_models import MODELS
from dagster_project.scores.rules import EMPIRICAL_TABLE, HIATUS_RULE
from dagster_project.scores.score_choice import Choice


def test_the_best_of_the_earlier_cutoff_publishes_if_it_beats_the_plain_rule() -> None:
    sharp = {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.3, "mbg_nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, FITS), "repurchase_probability_90d", "brier")
    assert (choice.winner, choice.published) == (EMPIRICAL_TABLE, EMPIRICAL_TABLE)
    assert "as of 2024-07-04" in choice.reason
    assert "as of 2024-10-02" in choice.reason


def test_the_last_cutoff_judges_and_does_not_choose() -> None:
    # mbg_nbd would have been better in the end; looking twice would have chosen it.
    choice = score_choice.choose(
        contest(
            {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.3, "mbg_nbd": 0.2},
            {HIATUS_RULE: 0.1, EMPIRICAL_TABLE: 0.15, "mbg_nbd": 0.9},
            FITS,
        ),
        "repurchase_probability_90d",
        "brier",
    )
    assert choice.winner == EMPIRICAL_TABLE


def test_the_plain_rule_publishes_where_the_winner_is_not_better_beyond_chance() -> None:
    choice = score_choice.choose(
        contest({HIATUS_RULE: 0.1, "mbg_nbd": 0.3}, {HIATUS_RULE: 0.2, "mbg_nbd": 0.1}, FITS),
        "expected_purchase_days",
        "rmse",
    )
    assert (choice.winner, choice.published) == ("mbg_nbd", HIATUS_RULE)
    assert "not better beyond chance" in choice.reason


def test_a_rule_that_learns_nothing_and_does_better_is_named() -> None:
    earlier = {HIATUS_RULE: 0.1, "mbg_nbd": 0.3}
    choice = score_choice.choose(
        contest(earlier, earlier | {"last_period_repeats": 1.0}, FITS),
        "expected_purchase_days",
        "rmse",
    )
    assert choice.published == "mbg_nbd"
    assert choice.reason.endswith("last_period_repeats would have had 0.0000")


def test_a_tie_is_not_worse_and_publishes() -> None:
    sharp = {HIATUS_RULE: 0.2, "nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, FITS), "expected_purchase_days", "rmse")
    assert choice.published == "nbd"


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (fitted("mbg_nbd", -997.1), "drop-out is not identified: twice the gain"),
        (fitted("mbg_nbd", -900, "the fit did not converge"), "the fit did not converge"),
    ],
)
def test_a_model_that_does_not_hold_is_no_candidate(fit: Fit, words: str) -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fit}
    assert words in refusal("mbg_nbd", fits)
    sharp = {HIATUS_RULE: 0.1, "mbg_nbd": 0.9, "nbd": 0.2}
    choice = score_choice.choose(contest(sharp, sharp, fits), "expected_purchase_days", "rmse")
    assert choice.winner == "nbd"


def test_a_winner_that_does_not_hold_today_publishes_nothing() -> None:
    sharp = {HIATUS_RULE: 0.1, "mbg_nbd": 0.3}
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -997.1)}
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(
        snapshot(), np.ones(600), fits | {"pareto_nbd": fits["mbg_nbd"]}, order_values, None
    )
    choice = score_choice.make_choices(contest(sharp, sharp, FITS), today)["expected_purchase_days"]
    assert (choice.winner, choice.published) == ("mbg_nbd", None)
    assert choice.reason.startswith("today: drop-out is not identified")


def test_without_a_cutoff_nothing_is_published() -> None:
    choice = score_choice.choose({}, "expected_purchase_days", "rmse")
    assert choice.published is None
    assert "too little data" in choice.reason


def told_returns(**sharpness: float) -> dict[tuple[int, int], Backtest]:
    """Return tests in which the models told well who buys again, but for those given."""
    sharp = {HIATUS_RULE: 0.2} | dict.fromkeys(MODELS, 0.5) | sharpness
    return contest(sharp, sharp)


def test_a_model_that_does_not_know_who_returns_does_not_know_who_has_left() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)

    def choice(tests: dict[tuple[int, int], Backtest]) -> Choice:
        return score_choice.make_choices(tests, today)["probability_alive"]

    assert choice(told_returns(pareto_nbd=0.1)).published == "mbg_nbd"
    neither = choice(told_returns(pareto_nbd=0.1, mbg_nbd=0.1))
    assert neither.published is None
    assert "pareto_nbd did not tell better than the plain rule who buys again" in neither.reason
    assert "too little data" in choice({}).reason


def test_the_chance_to_be_alive_never_comes_from_bg_nbd() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "bg_nbd": fitted("bg_nbd", -500),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)
    choices = score_choice.make_choices(told_returns(), today)
    assert choices["probability_alive"].published == "pareto_nbd"
    assert "bg_nbd" not in score_choice.CANDIDATES["probability_alive"]


def test_the_likelier_model_gives_way_if_it_does_not_hold() -> None:
    fits = {
        "nbd": fitted("nbd", -1000),
        "mbg_nbd": fitted("mbg_nbd", -800),
        "pareto_nbd": fitted("pareto_nbd", -700, "the fit did not converge"),
    }
    order_values = Fit("gamma_gamma", {"p": 1, "q": 2, "gamma": 1}, -1, 9, np.eye(3))
    today = CurrentFits(snapshot(), np.ones(600), fits, order_values, None)
    choice = score_choice.make_choices(told_returns(), today)["probability_alive"]
    assert choice.published == "mbg_nbd"
    assert choice.reason.endswith("mbg_nbd is the likeliest of what holds (mbg_nbd)")
