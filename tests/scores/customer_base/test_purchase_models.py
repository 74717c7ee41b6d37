"""Whether drop-out is beyond chance."""

from dataclasses import replace

from support.buyers import DROP_OUT_MODELS, made_up_histories

from dagster_project.scores.customer_base import purchase_models
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.histories import Histories
from dagster_project.scores.customer_base.purchase_models import MODELS, identifies_drop_out


def test_drop_out_must_be_likelier_beyond_chance(sample_fits: dict[str, Fit]) -> None:
    nbd = sample_fits["nbd"]
    assert all(identifies_drop_out(sample_fits[name], nbd) for name in DROP_OUT_MODELS)
    for gain, identified in ((3.0, True), (2.99, False)):
        other = replace(sample_fits["mbg_nbd"], log_likelihood=nbd.log_likelihood + gain)
        assert identifies_drop_out(other, nbd) is identified


def test_customers_who_never_leave_do_not_identify_drop_out() -> None:
    exact, _ = made_up_histories("nbd", 3, 2000)
    histories = Histories.grouped(*exact)

    fits = {name: purchase_models.fit(name, histories) for name in MODELS}

    for name in DROP_OUT_MODELS:
        assert fits[name].reason is None
        assert not identifies_drop_out(fits[name], fits["nbd"])
