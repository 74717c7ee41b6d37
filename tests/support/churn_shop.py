"""The file of a small source without an industry, for the tests of churn definitions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.config.source import Source, read_source
from dagster_project.errors import ConfigurationError

SHOP = """\
description: A shop
kind: finished
first_day: 2024-01-01
last_day: 2024-12-31
currency: USD
time_zone: America/New_York
margin_rate: 0.3
tables:
  transactions:
    files: orders.csv
    columns: {customer_id: customer, ordered_at: day, amount: amount}
"""


def shop(folder: Path, text: str = "", name: str = "shop.yml") -> Source:
    """Write the shop's file with more keys at its end and read it; they begin on line 12."""
    file = folder / name
    file.write_text(SHOP + text, encoding="utf-8")
    return read_source(file)


def fault(action: Callable[[], object]) -> str:
    """Return the message of the configuration error that an action ends in."""
    with pytest.raises(ConfigurationError) as raised:
        action()
    assert raised.value.exit_code == 2
    return str(raised.value)
