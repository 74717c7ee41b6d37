"""Gamma-Gamma: slopes, draws and degenerate order values."""

import numpy as np
import pytest
from support.buyers import ORDER_TRUTH, Buyers, differences

from dagster_project.scores.customer_base import gamma_gamma
from dagster_project.scores.customer_base.gamma_gamma import (
    expected_order_value,
    fit_gamma_gamma,
    simulate_spend,
)
from dagster_project.scores.customer_base.histories import OrderValues


def test_gamma_gamma_slopes_are_the_differences(sample: Buyers) -> None:
    values = OrderValues.grouped(sample.repeat_count, sample.mean_value)
    parameters = np.array(list(ORDER_TRUTH.values()))

    _, slopes = gamma_gamma.terms(parameters, values)

    assert slopes == pytest.approx(
        differences(lambda near: gamma_gamma.terms(near, values)[0], parameters),
        rel=1e-5,
        abs=1e-7,
    )


def test_simulated_spend_averages_to_the_order_value() -> None:
    parameters = list(ORDER_TRUTH.values())
    draws = 100_000
    repeat_count, mean_value = np.array([0.0, 3.0]), np.array([0.0, 50.0])
    columns = (np.repeat(column, draws) for column in (repeat_count, mean_value, [2.0, 5.0]))

    spend = simulate_spend(parameters, *columns, np.random.default_rng(7)).reshape(2, draws)

    expected = expected_order_value(parameters, repeat_count, mean_value) * [2, 5]
    assert (np.abs(spend.mean(axis=1) - expected) < 4 * spend.std(axis=1) / draws**0.5).all()
    nothing = simulate_spend(
        parameters, repeat_count, mean_value, np.zeros(2), np.random.default_rng(7)
    )
    assert (nothing == 0).all()


SOME = np.random.default_rng(7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("mean_value", "reason"),
    [
        ([], "no repeat purchase has a value"),
        ([0.0, 0.0, 0.0], "no repeat purchase has a value"),
        ([20.0], None),
        ([20.0] * 300, None),
        ([*SOME.gamma(5, 5, 300), 1e7], None),
        (np.exp(SOME.normal(0, 6, 300)), "order values spread so far"),
    ],
)
def test_degenerate_order_values(mean_value: list[float], reason: str | None) -> None:
    mean_value = np.array(mean_value, dtype=float)
    repeat_count = np.ones(len(mean_value))

    fitted = fit_gamma_gamma(OrderValues.grouped(repeat_count, mean_value))

    if reason is not None:
        assert fitted.reason.startswith(reason)
    elif fitted.reason is None:
        forecast = expected_order_value(fitted.values, repeat_count, mean_value)
        assert np.isfinite(forecast).all()
        assert forecast.min() >= 0
        if mean_value.min() == mean_value.max():
            assert forecast == pytest.approx(mean_value, rel=0.001)
