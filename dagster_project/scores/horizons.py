"""Days that scores look ahead: the list of the dbt project, which makes the tests for them too.

Belongs here: the horizons and what columns that carry one are called.
"""

from functools import cache

import yaml

from dagster_project.paths import DBT_DIR

# The horizon that decides what is published; the others are reported beside it.
DECIDING_HORIZON = 90


@cache
def horizons() -> tuple[int, ...]:
    """Return the days ahead that scores are made and tested for, shortest first."""
    project = yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text())
    return tuple(sorted(project["vars"]["score_horizons"]))


def expected_purchase_days(horizon_days: int) -> str:
    """Return the name of the column of purchases expected within a horizon."""
    return f"expected_purchase_days_{horizon_days}d"
