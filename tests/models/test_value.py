"""What customers brought, tiers of value and RFM, against the rules read plainly."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import product
from operator import attrgetter
from pathlib import Path
from random import Random

import pytest
from reference import value
from reference.known import Known
from reference.numbers import ONE_DAY
from reference.seeds import RFM_GROUPS, seed
from reference.worlds import WORLDS, Built
from support.random_shop import (
    Definition,
    Line,
    World,
    deliver,
    load,
    make_shop,
    random_events,
    rows_of,
)
from support.shop import run_dbt

# https://www.putler.com/rfm-analysis; ten of them are also the example of rfm_segment in the R
# package rfm 0.2.0. First and last recency score, first and last average of the other two.
PUTLER = {
    "champions": (4, 5, 4, 5),
    "loyal_customers": (2, 5, 3, 5),
    "potential_loyalists": (3, 5, 1, 3),
    "new_customers": (4, 5, 1, 1),
    "promising": (3, 4, 1, 1),
    "needing_attention": (2, 3, 2, 3),
    "about_to_sleep": (2, 3, 1, 2),
    "at_risk": (1, 2, 2, 5),
    "cannot_lose": (1, 1, 4, 5),
    "hibernating": (1, 2, 1, 2),
    "lost": (1, 2, 1, 2),
}


@pytest.mark.parametrize(
    "table",
    [
        value.customer_rfm,
        value.customer_values,
        value.value_tier_versions,
        value.value_tier_movements,
    ],
    ids=attrgetter("__name__"),
)
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(
    built: dict[str, Built], world: str, table: Callable[[Known], list[tuple]]
) -> None:
    assert built[world].differences(table) == ([], [])


def test_rfm_groups_are_total_exclusive_and_within_the_published_ranges() -> None:
    cells = Counter((int(row["recency_score"]), int(row["fm_score"])) for row in seed("rfm_groups"))
    assert cells == Counter(product(range(1, 6), repeat=2))
    assert {row["rfm_group"] for row in RFM_GROUPS.values()} == PUTLER.keys()
    for (recency, together), row in RFM_GROUPS.items():
        first, last, lowest, highest = PUTLER[row["rfm_group"]]
        assert first <= recency <= last, row
        assert lowest <= together <= highest, row


def test_equal_buyers_are_scored_alike_whatever_the_order_of_rows(tmp_path: Path) -> None:
    world = World(date(2024, 12, 31), (Definition("fixed", 90),))
    events = random_events(world, 100)
    day = world.as_of - 40 * ONE_DAY
    equal = [Line(f"equal {n}", day, "sale", Decimal("9.99"), 1) for n in range(1000)]
    lines, shuffled = [*equal, *events.lines], [*events.lines, *equal]
    Random(1).shuffle(shuffled)
    paths = make_shop(tmp_path, world)
    tables = (
        "customers",
        "customer_rfm",
        "customer_values",
        "value_tier_versions",
        "value_tier_movements",
    )
    steps = "--select", *(f"+{table}" for table in tables), "--exclude-resource-type", "test"
    found = []
    for batch, ordered in (("1", lines), ("2", shuffled)):
        deliver(paths, "lines.csv", ordered)
        load(paths, batch)
        arguments = "build", *steps, "unit_test"
        run_dbt(paths.warehouse, *arguments, variables=world.variables(paths))
        found.append([rows_of(paths, f"from marts.{table} order by all") for table in tables])
    assert found[0] == found[1]
    same = "select distinct {} from marts.{} where customer_id like 'equal %'"
    assert len(rows_of(paths, same.format("value_tier", "customers"))) == 1
    assert len(rows_of(paths, same.format("rfm_code, rfm_group", "customer_rfm"))) == 1
