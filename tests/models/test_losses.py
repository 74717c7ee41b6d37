"""Losses, their rates and whom to win back, against the rules read plainly."""

from collections.abc import Callable
from operator import attrgetter

import pytest
from reference import losses
from reference.churn_definitions import compared
from reference.known import Known
from reference.worlds import WORLDS, Built
from support.random_shop import rows_of


@pytest.mark.parametrize(
    "table", [losses.lost_customers_by_month, losses.lost_episodes], ids=attrgetter("__name__")
)
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(
    built: dict[str, Built], world: str, table: Callable[[Known], list[tuple]]
) -> None:
    assert built[world].differences(table) == ([], [])


@pytest.mark.parametrize("world", WORLDS)
def test_churn_rates_follow_the_rules(built: dict[str, Built], world: str) -> None:
    # What is estimated from the data is the matter of test_churn_definitions.
    names = ", ".join(f"'{name}'" for name in compared(WORLDS[world]))
    condition = f"definition_id in ({names})"
    assert built[world].differences(losses.churn_rates, condition) == ([], [])


@pytest.mark.parametrize("world", WORLDS)
def test_candidates_follow_the_rules(built: dict[str, Built], world: str) -> None:
    query = "select rank, customer_id from marts.winback_candidates order by rank"
    assert rows_of(built[world].paths, query) == losses.winback_candidates(built[world].known)
