"""The published sample and its fits."""

from collections.abc import Callable
from datetime import date

import pytest
from support.buyers import Buyers
from support.purchase_logs import READERS, PurchaseLog

from dagster_project.scores.customer_base.fitting import Fit


@pytest.fixture(scope="session")
def log_of() -> Callable[[str], PurchaseLog]:
    logs = {}

    def read(name: str) -> PurchaseLog:
        if name not in logs:
            logs[name] = READERS[name]()
        return logs[name]

    return read


@pytest.fixture(scope="session")
def sample(log_of: Callable[[str], PurchaseLog]) -> Buyers:
    return Buyers.as_of(log_of("cdnow_sample"), date(1997, 9, 30))


@pytest.fixture(scope="session")
def sample_fits(sample: Buyers) -> dict[str, Fit]:
    return sample.fits()
