"""Customers, and who came, stayed and fell silent, against the rules read plainly."""

from collections.abc import Callable
from operator import attrgetter

import pytest
from reference import customers
from reference.known import Known
from reference.worlds import WORLDS, Built


@pytest.mark.parametrize(
    "table",
    [customers.customers, customers.lifecycle_flow, customers.cohort_retention],
    ids=attrgetter("__name__"),
)
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(
    built: dict[str, Built], world: str, table: Callable[[Known], list[tuple]]
) -> None:
    assert built[world].differences(table) == ([], [])
