"""The smallest good file of a source, and what is said of it when something in it is wrong."""

from pathlib import Path

import pytest

from dagster_project.config.source import Source, read_source
from dagster_project.errors import ConfigurationError

# What every small source begins with.
SOURCE_HEAD = """\
description: A shop
kind: finished
first_day: 2024-01-01
last_day: 2024-12-31
industry: grocery
currency: USD
time_zone: America/New_York
margin_rate: 0.3
"""
GOOD = f"""\
{SOURCE_HEAD}tables:
  transactions:
    files: orders.csv
    columns:
      customer_id: customer
      ordered_at: day
      amount: amount
"""


def changed(old: str, new: str) -> str:
    """Return the good file with one part replaced."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def read(folder: Path, text: str, name: str = "shop.yml") -> Source:
    """Write a source's file and read it."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_source(file)


def fault(folder: Path, text: str) -> str:
    """Return the message about a faulty file; exit code 2, no traceback inside."""
    with pytest.raises(ConfigurationError) as raised:
        read(folder, text)
    assert raised.value.exit_code == 2
    assert "Traceback" not in str(raised.value)
    return str(raised.value)


def check_fault(folder: Path, text: str, place: str, parts: list[str]) -> None:
    """Check that a faulty file is answered in one line that names file, line, key and remedy."""
    message = fault(folder, text)
    assert len(message.splitlines()) == 1, message
    assert message.startswith(str(folder / "shop.yml")), message
    assert place in message, message
    for part in parts:
        assert part in message, message
