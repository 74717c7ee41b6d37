"""Where customers stand on any day, against the rules read plainly, also after random events."""

import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from reference import stages
from reference.known import Known
from reference.numbers import ONE_DAY, differences
from reference.stages import AXES
from reference.worlds import WORLDS, Built
from support.random_shop import (
    Contact,
    Definition,
    Events,
    Line,
    Member,
    World,
    build,
    make_shop,
    rows_of,
)
from support.shop import run_dbt


@pytest.mark.parametrize(
    "table", [stages.customer_stage_history, stages.stage_transitions], ids=attrgetter("__name__")
)
@pytest.mark.parametrize("world", WORLDS)
def test_tables_follow_the_rules(
    built: dict[str, Built], world: str, table: Callable[[Known], list[tuple]]
) -> None:
    assert built[world].differences(table) == ([], [])


@pytest.mark.parametrize(("world", "days_before"), [("purchases", 64), ("versions", 100)])
def test_a_run_as_of_a_past_day_gives_the_history(
    built: dict[str, Built], world: str, days_before: int, tmp_path: Path
) -> None:
    shop, as_of = built[world], WORLDS[world].as_of - days_before * ONE_DAY
    copy = Path(shutil.copy(shop.paths.warehouse, tmp_path))
    variables = WORLDS[world].variables(shop.paths) | {"as_of_date": as_of.isoformat()}
    steps = "--select", "+customers", "--exclude", "int_customer_days", "path:models/staging"
    run_dbt(copy, "run", *steps, variables=variables)
    with duckdb.connect(str(copy), read_only=True) as connection:
        found = connection.execute(
            "select customer_id, lifecycle_rule_id, loyalty_rule_id, contact_rule_id "
            "from marts.customers"
        ).fetchall()
    held = defaultdict(dict)
    for customer, axis, _, rule, valid_from, valid_to, *_ in rows_of(
        shop.paths, "from marts.customer_stage_history"
    ):
        if valid_from <= as_of <= valid_to:
            held[customer][axis] = rule
    expected = [(customer, *(rules[axis] for axis in AXES)) for customer, rules in held.items()]
    assert differences(found, expected) == ([], [])


def is_whole(intervals: list[tuple[date, date, str]], first: date, last: date) -> bool:
    """Return whether intervals cover all days without overlap, no two in a row by one rule."""
    intervals = sorted(intervals)
    joined = all(
        before[1] + ONE_DAY == after[0] and before[2] != after[2]
        for before, after in pairwise(intervals)
    )
    forward = all(valid_from <= valid_to for valid_from, valid_to, _ in intervals)
    return joined and forward and (intervals[0][0], intervals[-1][1]) == (first, last)


EVENT = st.tuples(
    st.integers(-2, 300),
    st.sampled_from(
        ["sale", "sale", "sale", "return", "postage", "visit", "referral", "message_sent", "record"]
    ),
)


@pytest.mark.parametrize(
    ("basis", "definition"),
    [
        ("purchase", Definition("fixed", 31)),
        ("interaction", Definition("cadence", 60)),
        ("both", Definition("season", 60, seasons=("12-01..01-15",))),
    ],
)
@settings(
    max_examples=1,
    # One build takes seconds: few shops, always the same ones, and no search for a smaller one.
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(histories=st.lists(st.lists(EVENT, min_size=1, max_size=12), min_size=150, max_size=200))
def test_every_history_is_whole(
    basis: str,
    definition: Definition,
    histories: list[list[tuple[int, str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The first example is the simplest one.
    assume(len({kind for history in histories for _, kind in history}) > 5)
    world = World(date(2024, 12, 31), (definition,), basis=basis)
    events = Events([], [], [])
    for number, history in enumerate(histories):
        for days, kind in history:
            customer, day = f"c{number}", world.as_of - days * ONE_DAY
            if kind == "record":
                events.members.append(Member(customer, day if days % 3 else None, None, None))
            elif kind in ("sale", "return", "postage"):
                amount = Decimal(days % 5) * (1 if kind == "sale" else -1)
                events.lines.append(Line(customer, day, kind, amount, 1))
            else:
                events.contacts.append(Contact(customer, day, kind))
    paths = make_shop(tmp_path_factory.mktemp("events"), world)
    build(
        paths,
        world,
        events,
        "build",
        "--select",
        "+customer_stage_history",
        "stage_rules",
        "--exclude-resource-type",
        "test",
        "unit_test",
    )
    found = defaultdict(list)
    for customer, axis, *interval in rows_of(
        paths,
        "select customer_id, axis, valid_from, valid_to, rule_id from marts.customer_stage_history",
    ):
        found[customer, axis].append(tuple(interval))
    lives = Known(world, events).lives
    assert found.keys() == {(name, axis) for name in lives for axis in AXES}
    for (customer, axis), intervals in found.items():
        assert is_whole(intervals, lives[customer].history_starts, world.as_of), (customer, axis)
