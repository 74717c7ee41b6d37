"""Customer-base models against published figures of the CDNOW sample.

`../shared/reference/cdnow.md` lists them and where they are from.
"""

import numpy as np
import pytest
from support.buyers import DROP_OUT_MODELS, Buyers

from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import expected_order_value
from dagster_project.scores.customer_base.purchase_models import MODELS


def test_the_sample_is_the_published_one(sample: Buyers) -> None:
    assert len(sample.repeat_count) == 2357
    assert sample.repeat_count.sum() == 2457
    assert sample.next_count.sum() == 1882
    assert (sample.repeat_count == 0).sum() == 1411


@pytest.mark.parametrize(
    ("model", "parameters", "log_likelihood"),
    [
        ("bg_nbd", {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, -9582.4),
        ("pareto_nbd", {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}, -9595.0),
        ("mbg_nbd", {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}, -9582.1),
        ("gamma_gamma", {"p": 6.25, "q": 3.74, "gamma": 15.44}, -4055.92),
    ],
)
def test_fits_are_the_published_ones(
    sample_fits: dict[str, Fit], model: str, parameters: dict[str, float], log_likelihood: float
) -> None:
    fitted = sample_fits[model]

    assert fitted.reason is None
    # A published figure says no more than half of its last digit.
    half_digit = 0.005 if model == "gamma_gamma" else 0.0005
    assert fitted.parameters.keys() == parameters.keys()
    for name, published in parameters.items():
        assert fitted.parameters[name] == pytest.approx(published, abs=0.005 * published)
        assert fitted.parameters[name] == pytest.approx(published, abs=1.1 * half_digit)
    assert fitted.log_likelihood == pytest.approx(log_likelihood, abs=0.05)


def test_published_mean_order_value(sample_fits: dict[str, Fit]) -> None:
    fitted = sample_fits["gamma_gamma"]

    assert fitted.customer_count == 946
    newcomer = expected_order_value(fitted.values, np.zeros(1), np.zeros(1))
    assert newcomer == pytest.approx(35.17, rel=0.001)


def test_published_points(sample_fits: dict[str, Fit]) -> None:
    bg_nbd, pareto_nbd = MODELS["bg_nbd"], MODELS["pareto_nbd"]
    values = sample_fits["bg_nbd"].values
    buyer = np.array([2.0]), np.array([30.43]), np.array([38.86])
    assert bg_nbd.expected_purchases(values, *buyer, 39.0) == pytest.approx(1.226, rel=0.001)
    new = bg_nbd.expected_new_purchases(values, np.array([1.0, 32.0, 78.0]))
    assert new == pytest.approx([0.0532, 1.0437, 1.858], rel=0.001)

    values = sample_fits["pareto_nbd"].values
    buyer = np.array([26.0]), np.array([30.86]), np.array([31.0])
    assert pareto_nbd.expected_purchases(values, *buyer, 52.0) == pytest.approx(25.46, rel=0.001)
    assert pareto_nbd.probability_alive(values, *buyer) == pytest.approx(0.9979, rel=0.001)


@pytest.mark.parametrize(
    ("model", "total", "mae", "rmse", "correlation"),
    [
        ("bg_nbd", 1653, 0.785, 1.608, 0.626),
        ("mbg_nbd", 1577, 0.765, 1.607, 0.627),
        ("pareto_nbd", 1666, 0.755, 1.603, 0.630),
        ("nbd", 2930, 1.041, 1.860, 0.583),
    ],
)
def test_published_holdout(
    sample: Buyers,
    sample_fits: dict[str, Fit],
    model: str,
    total: float,
    mae: float,
    rmse: float,
    correlation: float,
) -> None:
    forecast = MODELS[model].expected_purchases(sample_fits[model].values, *sample.history, 39.0)

    error = forecast - sample.next_count
    assert forecast.sum() == pytest.approx(total, abs=1)
    assert np.abs(error).mean() == pytest.approx(mae, abs=0.001)
    assert np.sqrt((error**2).mean()) == pytest.approx(rmse, abs=0.001)
    assert np.corrcoef(forecast, sample.next_count)[0, 1] == pytest.approx(correlation, abs=0.001)


def test_one_time_buyers_may_have_left(sample: Buyers, sample_fits: dict[str, Fit]) -> None:
    once = [column[sample.repeat_count == 0] for column in sample.history]
    alive = {
        name: MODELS[name].probability_alive(sample_fits[name].values, *once)
        for name in DROP_OUT_MODELS
    }

    assert alive["mbg_nbd"].min() > 0.3
    assert alive["mbg_nbd"].max() < 0.45
    assert alive["pareto_nbd"].min() > 0.29
    assert alive["pareto_nbd"].max() < 0.45
    # Why BG/NBD is never asked who is alive.
    assert (alive["bg_nbd"] == 1).all()
