"""Stages, their rules and the moves between them; each fault is named by the release gate."""

from datetime import date
from pathlib import Path

from support.gate_cases import (
    Fault,
    each,
    expectations,
    failed,
    found,
    judge_release,
    make,
    meant,
    shown,
)
from support.small_release import PUBLISHED, RELEASE

from dagster_project.gates.limits import write_former_stages
from dagster_project.gates.outcomes import Outcome
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

# table, fault, expectation, observed value, first example
FAULTS = [
    ("customer_stage_history", "update customer_stage_history set valid_from = valid_from + 1,"
     " valid_to = valid_to + 1 where valid_from = '2024-01-16'",
     "intervals_gapless", "2 of 21 unexpected", "a:lifecycle_stage:2024-01-17"),
    ("customer_stage_history", "update customer_stage_history"
     " set rule_id = 'evergreen_steady_rhythm', stage = 'evergreen'"
     " where customer_id = 'c' and axis = 'lifecycle_stage'",
     "current_stages_agree", "1 of 4 unexpected", "c"),
    ("customer_stage_history", "delete from customer_stage_history"
     " where customer_id = 'b' and valid_from = '2024-03-31'",
     "current_stages_agree, begins_when_known", "1 of 4 unexpected", "b"),
    ("customer_stage_history", "update customer_stage_history set valid_from = '2024-01-02'"
     " where customer_id = 'p'",
     "begins_when_known", "1 of 4 unexpected", "p"),
    ("customer_stage_history", "update customers set known_on = '2024-03-24'"
     " where customer_id = 'c'",
     "begins_when_known", "1 of 4 unexpected", "c"),
    ("customer_stage_history", "update customer_stage_history set stage = 'new'"
     " where valid_from = '2024-01-16'",
     "stages_known", "1 of 21 unexpected", "a:lifecycle_stage:2024-01-16"),
    ("stage_transitions", "insert into stage_transitions values"
     " ('2024-03-01', 'loyalty_stage', 'first_time', 'client', 0, 0, 'USD')",
     "moves_well_formed", "1 of 16 unexpected", "2024-03-01:loyalty_stage:first_time:client"),
    ("stage_transitions", "update stage_transitions set customer_count = 2 where to_stage = 'new'",
     "moves_reconcile", "1 of 10 unexpected", "lifecycle_stage new"),
    ("stage_transitions", "update stage_transitions set month = '2024-03-01'"
     " where from_stage = 'unknown' and to_stage = 'alarm'",
     "nobody_leaves_before_coming", "1 of 16 unexpected", "2024-02-01 lifecycle_stage alarm"),
    ("stage_rules", "delete from stage_rules where stage = 'advocate';"
     "update stage_rules set rule_order = rule_order - 1"
     " where axis = 'loyalty_stage' and rule_order > 2",
     "stages_complete", "1 of 16 unexpected", "loyalty_stage advocate"),
    ("stage_rules", "update stage_rules set rule_order = 9 where rule_id = 'never_contacted_yet'",
     "rules_in_order", "1 of 20 unexpected", "contact_stage:never_contacted_yet"),
    ("stage_rules", "update stage_rules set label = 'Gone' where rule_id = 'lost_season_passed'",
     "labels_agree", "2 of 20 unexpected", "lifecycle_stage:lost_over_threshold"),
    ("stage_rules", "update stage_rules set label_zh = '常青客户' where stage = 'new'",
     "labels_agree", "2 of 20 unexpected", "lifecycle_stage:evergreen_steady_rhythm"),
    ("stage_rules", "update stage_rules set rule_text_zh = ' ' where stage = 'new'",
     "texts_present", "1 of 20 unexpected", "lifecycle_stage:new_first_purchase"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    elsewhere = [("customer_stage_history", "turns_to_alarm_or_lost_usual")]
    assert shown("stages", FAULTS, elsewhere) == expectations("stages")


# Five to seven customers a day turn alarm; the number depends on the weekday.
TURNS = """
    insert into customer_stage_history by name
    select
        'n' || day || '-' || number as customer_id, 'lifecycle_stage' as axis, 'alarm' as stage,
        date '2024-01-01' + day::integer as valid_from, date '2024-03-31' as valid_to
    from range(91) as days(day), range(7) as numbers(number)
    where number < 5 + day % 7 % 3;
"""
# So many more turn lost in the three days since the former release.
MORE_LOST = """
    insert into customer_stage_history by name
    select
        'm' || number as customer_id, 'lifecycle_stage' as axis, 'lost' as stage,
        date '2024-03-29' + (number % 3)::integer as valid_from, date '2024-03-31' as valid_to
    from range({count}) as numbers(number);
"""
DEAD = (
    "insert into audit.feed by name "
    "select 4 as silent_days, 'transactions: last data 2024-03-27' as words;"
)


def turns(release: Path, warehouse: Path) -> Outcome:
    outcomes = judge_release("customer_stage_history", release, warehouse).outcomes
    return next(one for one in outcomes if one.expectation == "turns_to_alarm_or_lost_usual")


def test_more_turning_alarm_or_lost_than_usual_names_a_dead_feed(
    release: Path, warehouse: Path
) -> None:
    make(release, f"delete from customer_stage_history; {TURNS}")
    first = turns(release, warehouse)
    assert (first.is_passed, first.observed_value) == (True, "no day since the former release")
    make(warehouse, f"insert into audit.former_stages values ('lost', 1, '2024-03-28'); {DEAD}")
    usual = turns(release, warehouse)
    assert usual.is_passed
    assert usual.observed_value == "3.4% of 533 customers (18) in the 3 days since 2024-03-28"
    make(release, MORE_LOST.format(count=12))
    assert turns(release, warehouse).is_passed
    make(release, MORE_LOST.format(count=2))
    unusual = turns(release, warehouse)
    assert (unusual.is_passed, unusual.severity) == (False, "warning")
    assert unusual.observed_value == (
        "5.9% of 545 customers (32) in the 3 days since 2024-03-28. "
        "A likely cause is a dead feed: transactions: last data 2024-03-27"
    )
    assert unusual.threshold == "at most 5.6%, usual are 3.3%"
    assert "Look first whether the feed is dead" in unusual.remedy
    make(warehouse, "update audit.feed set silent_days = 0")
    assert turns(release, warehouse).observed_value.endswith("since 2024-03-28")


def test_of_too_few_days_no_usual_is_known(release: Path, warehouse: Path) -> None:
    make(release, f"delete from customer_stage_history; {TURNS} {MORE_LOST.format(count=500)}")
    make(release, "delete from customer_stage_history where valid_from < '2024-02-06'")
    make(warehouse, "insert into audit.former_stages values ('lost', 1, '2024-03-28')")
    young = turns(release, warehouse)
    assert (young.is_passed, young.threshold) == (True, "too few days before to tell")


def test_file_out_of_order_is_named(release: Path, warehouse: Path) -> None:
    for table, expectation in (
        ("customer_stage_history", "intervals_gapless"),
        ("alerts", "one_alert_at_a_time"),
    ):
        make(release, f"create or replace table {table} as from {table} order by customer_id desc")
        assert expectation in failed(judge_release(table, release, warehouse))


def test_the_former_release_is_read_with_its_as_of_date(tmp_path: Path) -> None:
    paths = SourcePaths(tmp_path, "shop")
    write_former_stages(paths)
    with connect(paths) as connection:
        assert connection.execute("from audit.former_stages").fetchall() == []
    paths.published_file.parent.mkdir(parents=True)
    make(paths.published_file, RELEASE + PUBLISHED)
    write_former_stages(paths)
    with connect(paths) as connection:
        found = connection.execute("from audit.former_stages order by all").fetchall()
    as_of = date(2024, 3, 31)
    assert found == [(stage, 1, as_of) for stage in ("alarm", "lost", "new", "prospect")]
