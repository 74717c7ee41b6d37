"""How often churn definitions would have been right, against the rules read plainly."""

import pytest
from reference import churn_backtest
from reference.churn_definitions import compared
from reference.worlds import WORLDS, Built


@pytest.mark.parametrize("world", WORLDS)
def test_churn_definition_backtest_follows_the_rules(built: dict[str, Built], world: str) -> None:
    # What is estimated from the data is the matter of test_churn_definitions.
    names = ", ".join(f"'{name}'" for name in compared(WORLDS[world]))
    condition = f"definition_id in ({names})"
    rule = churn_backtest.churn_definition_backtest
    assert built[world].differences(rule, condition) == ([], [])
