"""Alerts and how often they were right, against the rules read plainly."""

from collections.abc import Callable
from operator import attrgetter

import pytest
from reference import alerts
from reference.known import Known
from reference.worlds import WORLDS, Built


@pytest.mark.parametrize("table", [alerts.alerts, alerts.alert_quality], ids=attrgetter("__name__"))
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(
    built: dict[str, Built], world: str, table: Callable[[Known], list[tuple]]
) -> None:
    assert built[world].differences(table) == ([], [])
