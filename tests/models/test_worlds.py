"""The two shops that tables are compared on: consistent in themselves, and rich enough."""

import shutil
from pathlib import Path

import pytest
from reference.alerts import KINDS, alarming, alerts
from reference.losses import churn_rates
from reference.seeds import RFM_GROUPS, RULES
from reference.stages import customer_stage_history
from reference.value import customer_rfm, value_tier_movements
from reference.worlds import WORLDS, Built
from support.shop import run_dbt


@pytest.mark.parametrize("world", WORLDS)
def test_what_the_models_assert_about_themselves_holds(
    built: dict[str, Built], world: str, tmp_path: Path
) -> None:
    variables = WORLDS[world].variables(built[world].paths)
    copy = Path(shutil.copy(built[world].paths.warehouse, tmp_path))
    run_dbt(copy, "test", "--exclude-resource-type", "unit_test", variables=variables)


def test_every_rule_and_every_kind_of_alert_occurs(built: dict[str, Built]) -> None:
    """Else the shops are too simple to tell a wrong rule from a right one."""
    rules, kinds, outcomes, segments, proven = set(), set(), set(), set(), set()
    groups, moves = set(), set()
    for shop in built.values():
        rules |= {row[3] for row in customer_stage_history(shop.known)}
        raised = alerts(shop.known)
        kinds |= {row[1] for row in raised}
        outcomes |= {row[-1] for row in raised}
        segments |= {row[2] for row in churn_rates(shop.known)}
        proven |= {kind for kind, _ in alarming(shop.known)}
        groups |= {row[-1] for row in customer_rfm(shop.known)}
        moves |= {row[1:3] for row in value_tier_movements(shop.known)}
    assert groups == {row["rfm_group"] for row in RFM_GROUPS.values()}
    assert moves == {
        (before, after)
        for before in ("none", "high", "medium", "low")
        for after in ("high", "medium", "low")
    }
    assert rules == set(RULES)
    assert kinds == set(KINDS)
    assert outcomes == {"open", "lost", "recovered"}
    assert segments == {"all", "value_tier", "acquisition_year", "acquisition_source", "region"}
    assert len(proven) > 1
