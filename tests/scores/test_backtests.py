"""What forecasts know as of a past day, and which fits may publish anything."""

import pytest
from support.contests import fitted
from support.made_up import past

from dagster_project.scores.backtests import make_tests, refusal
from dagster_project.scores.customer_base.histories import Limits
from dagster_project.scores.rules import EMPIRICAL_TABLE, HIATUS_RULE


def test_rules_know_as_of_a_cutoff_only_what_followed_the_one_before() -> None:
    tests = make_tests(past({30: 10, 90: 1}), Limits(buyers=1000))
    assert tests.keys() == {(30, 1), (30, 2), (90, 1), (90, 2)}
    for (horizon, step), test in tests.items():
        counts = {30: 10, 90: 1}[horizon] * (step + 1)
        for rule in (HIATUS_RULE, EMPIRICAL_TABLE):
            assert test.forecasts[rule].purchase_count == pytest.approx(counts)


def test_six_is_enough_for_drop_out_to_be_identified() -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -997)}
    assert refusal("mbg_nbd", fits) is None


def test_no_gain_is_zero_whatever_the_sign_of_its_noise() -> None:
    fits = {"nbd": fitted("nbd", -1000), "mbg_nbd": fitted("mbg_nbd", -1000 - 1e-9)}
    assert "over NBD is 0.0, below 6" in refusal("mbg_nbd", fits)
