"""The gates on small warehouses and releases: everything good passes, each fault is named."""

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dagster_project import canonical, gates
from dagster_project.errors import WinbackError


def raw_tables() -> str:
    """SQL of the empty raw layer."""
    statements = []
    for table in canonical.TABLES.values():
        columns = [f"{column.name} {column.sql_type}" for column in table.columns]
        if table.name == "transactions":
            columns.append(f"amount_original {canonical.EXACT_NUMBER}")
        columns += [f"{column.name} {column.sql_type}" for column in canonical.LINEAGE]
        statements.append(f"create table raw.{table.name} ({', '.join(columns)});")
    return "\n".join(statements)


# As of 2024-03-31 with a lost threshold of 30 days: a is lost, b in alarm, c new, p a prospect.
WAREHOUSE = f"""
create schema raw; create schema intermediate; create schema audit;
{raw_tables()}
create table raw.loads (table_name varchar, source_file varchar, file_hash varchar,
    load_key varchar, line_count bigint, row_count bigint, rejected_count bigint,
    rejected_share double, is_present boolean, batch_id varchar, loaded_at timestamp);
create table raw.load_days (source_file varchar, ordered_on date, row_count bigint,
    customerless_row_count bigint, amount decimal(38,2), used_amount decimal(38,2),
    batch_id varchar);
create table raw.rejected_rows (table_name varchar, source_file varchar, file_hash varchar,
    row_number bigint, reason varchar, original_text varchar, batch_id varchar,
    loaded_at timestamp);
create table raw.duplicate_keys (source_file varchar, source_row bigint, transaction_id varchar);
create table intermediate.int_known_customers (customer_id varchar, known_on date);
create table audit.former_stages (lifecycle_stage varchar, customer_count bigint);
create table audit.limits as select 'shop' as source_name, 'USD' as currency,
    date '2024-03-31' as as_of_date, date '2024-04-02' as today, date '2024-01-01' as earliest_day,
    null::date as latest_day, -100::decimal(18,2) as minimum_amount,
    1000::decimal(18,2) as maximum_amount, .01::double as maximum_rejected_share,
    .5::double as maximum_customerless_share, []::varchar[] as key_columns,
    false as keeps_last_duplicate;
"""
LINES = """
insert into raw.transactions by name
select 't' || source_row as transaction_id, * replace (ordered_on::date as ordered_on),
    ordered_on::timestamp as ordered_at, 'USD' as currency, 'sale' as line_type,
    'orders.csv' as source_file, 'b1' as batch_id, now()::timestamp as loaded_at
from (values
    (1, 'a', '2024-01-05', 10.00, null),
    (2, 'b', '2024-02-10', 12.50, null),
    (3, 'b', '2024-03-20', 17.50, null),
    (4, 'c', '2024-03-25', 20.00, null),
    (5, null, '2024-03-25', 5.00, null),
    (6, 'b', '2024-03-25', 2.00, 'postage'),
    (7, 'c', '2024-04-01', 99.00, null)
) as lines(source_row, customer_id, ordered_on, amount, excluded_reason);
insert into raw.load_days
select source_file, ordered_on, count(*), count_if(customer_id is null), sum(amount),
    coalesce(sum(amount) filter (excluded_reason is null), 0), 'b1'
from raw.transactions group by all;
insert into raw.loads values
    ('transactions', 'orders.csv', 'h', 'k', 1000, 995, 5, .005, true, 'b1', now()::timestamp);
insert into raw.rejected_rows values
    ('transactions', 'orders.csv', 'h', 12, 'amount is not a number', 'x,y', 'b1', null),
    ('transactions', 'orders.csv', 'h', 40, 'no date', 'x,y', 'b1', null);
insert into intermediate.int_known_customers values ('p', null);
"""
RELEASE = """
create table customers (customer_id varchar, known_on date, first_purchase_on date,
    last_purchase_on date, purchase_day_count integer, hiatus_days integer,
    expected_gap_days decimal(18,2), net_revenue decimal(18,2),
    net_revenue_trailing_365d decimal(18,2), value_at_stake decimal(18,2), currency varchar,
    lifecycle_stage varchar, rule_id varchar, lost_threshold_days integer, lost_on date,
    value_tier varchar);
create table lifecycle_flow (month date, active_customer_count integer,
    new_customer_count integer, returning_customer_count integer,
    resurrecting_customer_count integer, dormant_customer_count integer,
    is_complete_month boolean);
create table cohort_retention (acquisition_month date, months_since integer,
    customer_count integer, retained_customer_count integer, retention_rate decimal(9,6),
    net_revenue decimal(18,2), currency varchar, is_mature boolean);
create table lost_customers_by_month (lost_month date, value_tier varchar,
    lost_customer_count integer, value_at_stake decimal(18,2), recovered_customer_count integer,
    currency varchar);
create table winback_candidates (rank integer, customer_id varchar, value_tier varchar,
    lifecycle_stage varchar, days_since_lost integer, hiatus_days integer,
    value_at_stake decimal(18,2), currency varchar, rank_reason varchar);
"""
PUBLISHED = """
insert into customers values
    ('a', '2024-01-05', '2024-01-05', '2024-01-05', 1, 86, 10, 10, 10, 10, 'USD',
        'lost', 'lost.hiatus', 30, '2024-02-05', 'low'),
    ('b', '2024-02-10', '2024-02-10', '2024-03-20', 2, 11, 10, 30, 30, 30, 'USD',
        'alarm', 'alarm.gaps', 30, null, 'high'),
    ('c', '2024-03-25', '2024-03-25', '2024-03-25', 1, 6, 10, 20, 20, 20, 'USD',
        'new', 'new.first', 30, null, 'middle'),
    ('p', null, null, null, 0, null, null, 0, 0, 0, 'USD',
        'prospect', 'prospect.never_bought', 30, null, null);
insert into lifecycle_flow values
    ('2024-01-01', 1, 1, 0, 0, 0, true),
    ('2024-02-01', 1, 1, 0, 0, 1, true),
    ('2024-03-01', 2, 1, 1, 0, 0, true);
insert into cohort_retention values
    ('2024-01-01', 0, 1, 1, 1, 10, 'USD', true),
    ('2024-01-01', 1, 1, 0, 0, 0, 'USD', true),
    ('2024-01-01', 2, 1, 0, 0, 0, 'USD', true),
    ('2024-02-01', 0, 1, 1, 1, 12.5, 'USD', true),
    ('2024-02-01', 1, 1, 1, 1, 17.5, 'USD', true),
    ('2024-03-01', 0, 1, 1, 1, 20, 'USD', true);
insert into lost_customers_by_month values
    ('2024-02-01', 'high', 0, 0, 0, 'USD'),
    ('2024-02-01', 'middle', 0, 0, 0, 'USD'),
    ('2024-02-01', 'low', 1, 10, 0, 'USD'),
    ('2024-03-01', 'high', 1, 30, 1, 'USD'),
    ('2024-03-01', 'middle', 0, 0, 0, 'USD'),
    ('2024-03-01', 'low', 0, 0, 0, 'USD');
insert into winback_candidates values
    (1, 'b', 'high', 'alarm', null, 11, 30, 'USD', 'high tier'),
    (2, 'a', 'low', 'lost', 55, 86, 10, 'USD', 'low tier');
"""


def make(file: Path, sql: str) -> Path:
    with duckdb.connect(str(file)) as connection:
        connection.execute(sql)
    return file


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return make(tmp_path / "warehouse.duckdb", WAREHOUSE + LINES)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make(tmp_path / "winback.duckdb", RELEASE + PUBLISHED)


def judge_raw(table: str, warehouse: Path) -> gates.TableVerdict:
    return gates.validate("raw", table, warehouse, "raw")


def judge_release(table: str, release: Path, warehouse: Path) -> gates.TableVerdict:
    return gates.validate("release", table, release, "main", {"warehouse": warehouse})


def failed(verdict: gates.TableVerdict) -> dict[str, gates.Outcome]:
    return {one.expectation: one for one in verdict.outcomes if not one.is_passed}


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", gates.suite_tables("raw"))
def test_good_raw_tables_pass(table: str, rows: str, tmp_path: Path) -> None:
    sql = WAREHOUSE + LINES if rows == "with rows" else WAREHOUSE
    verdict = judge_raw(table, make(tmp_path / "warehouse.duckdb", sql))
    assert failed(verdict) == {}
    assert verdict.is_passed


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", gates.suite_tables("release"))
def test_good_release_tables_pass(table: str, rows: str, tmp_path: Path) -> None:
    filled = rows == "with rows"
    warehouse = make(tmp_path / "warehouse.duckdb", WAREHOUSE + LINES * filled)
    release = make(tmp_path / "winback.duckdb", RELEASE + PUBLISHED * filled)
    assert failed(judge_release(table, release, warehouse)) == {}


# table, fault, expectation, observed value, first example
RAW_FAULTS = [
    ("transactions", "alter table raw.transactions alter quantity type double",
     "columns_match_contract", "quantity DOUBLE", "quantity DOUBLE"),
    ("transactions", "alter table raw.transactions drop store_id",
     "columns_match_contract", "store_id missing", "store_id missing"),
    ("transactions", "update raw.transactions set ordered_at = null where source_row < 3",
     "required_values_present", "2 of 7 unexpected", "orders.csv:1"),
    ("transactions", "update raw.transactions set line_type = 'gift' where source_row = 3",
     "line_types_known", "1 of 7 unexpected", "orders.csv:3"),
    ("transactions", "update raw.transactions set currency = 'EUR' where source_row > 5",
     "currency_as_declared", "2 of 7 unexpected", "orders.csv:6"),
    ("transactions", "update raw.transactions set amount = 1000.01 where source_row = 1",
     "amounts_within_bounds", "5.00 to 1000.01", "orders.csv:1"),
    ("duplicate_keys", "insert into raw.duplicate_keys values ('orders.csv', 3, 't3')",
     "declared_key_unique", "1 of 7 unexpected", "t3 at orders.csv:3"),
    ("loads", "update raw.loads set rejected_count = 50, rejected_share = .05",
     "rejected_share_within_limit",
     "5.00% of orders.csv (50 of 1000 lines)"
     "; line 12: amount is not a number; line 40: no date",
     "orders.csv"),
    ("loads", "update raw.loads set is_present = false",
     "files_still_present", "1 of 1 unexpected", "orders.csv"),
    ("load_days", "update audit.limits set earliest_day = '2024-02-01'",
     "dates_within_period", "2024-01-05 to 2024-04-01", "orders.csv 2024-01-05"),
    ("load_days", "update audit.limits set latest_day = '2024-03-24'",
     "dates_within_period", "2024-01-05 to 2024-04-01", "orders.csv 2024-03-25"),
    ("load_days", "update audit.limits set today = '2024-03-31'",
     "no_date_after_today", "latest 2024-04-01", "orders.csv 2024-04-01"),
    ("load_days", "update audit.limits set maximum_customerless_share = .1",
     "customerless_share_within_limit", "14.29% (1 of 7 lines)", "orders.csv"),
    ("load_days", "update raw.transactions set amount = amount + .01 where source_row = 1",
     "days_reconcile_with_lines", "7 lines, amount 166.01, used 164.01", None),
    ("load_days", "delete from raw.transactions where source_row = 1",
     "days_reconcile_with_lines", "6 lines, amount 156.00, used 154.00", None),
    ("customers", "insert into raw.customers by name"
     " select 'x' as customer_id, 'c.csv' as source_file, unnest([1, 2]) as source_row",
     "one_row_per_customer", "2 of 2 unexpected", "c.csv:1"),
    ("customers", "insert into raw.customers by name select 'x' as customer_id,"
     " timestamp '2024-04-03 12:00' as signed_up_at, 'c.csv' as source_file, 1 as source_row",
     "no_time_in_the_future", "1 of 1 unexpected", "c.csv:1"),
    ("interactions", "insert into raw.interactions by name select 'x' as customer_id,"
     " timestamp '2024-01-01' as occurred_at, 'nod' as interaction_type,"
     " 'i.csv' as source_file, 7 as source_row",
     "interaction_types_known", "1 of 1 unexpected", "i.csv:7"),
    ("campaigns", "insert into raw.campaigns by name select 'x' as campaign_id,"
     " 12 as offer_cost_rate, 'g.csv' as source_file, 1 as source_row",
     "offer_cost_rates_plausible", "1 of 1 unexpected", "g.csv:1"),
    ("consents", "insert into raw.consents by name select 'x' as customer_id, 'm' as purpose,"
     " timestamp '2024-01-02' as granted_at, timestamp '2024-01-01' as withdrawn_at,"
     " 's.csv' as source_file, 1 as source_row",
     "withdrawn_after_granted", "1 of 1 unexpected", "s.csv:1"),
    ("exit_surveys", "insert into raw.exit_surveys by name select 'x' as customer_id,"
     " 's.csv' as source_file, 4 as source_row",
     "required_values_present", "1 of 1 unexpected", "s.csv:4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "fault", "expectation", "observed", "example"),
    RAW_FAULTS,
    ids=[fault[2] for fault in RAW_FAULTS],
)
def test_raw_fault_is_named(
    table: str, fault: str, expectation: str, observed: str, example: str | None, warehouse: Path
) -> None:
    make(warehouse, fault)
    faults = failed(judge_raw(table, warehouse))
    assert list(faults) == [expectation]
    assert faults[expectation].observed_value == observed
    assert faults[expectation].example_ids[:1] == ((example,) if example else ())
    assert faults[expectation].unexpected_count >= 1


@pytest.mark.parametrize(
    ("rows", "days", "is_passed"), [(101, 28, True), (60, 28, False), (60, 27, True)]
)
def test_volume_is_judged_from_28_earlier_days_on(
    rows: int, days: int, is_passed: bool, warehouse: Path
) -> None:
    make(warehouse, f"""
        delete from raw.load_days;
        insert into raw.load_days
        select 'x.csv', date '2024-04-01' - i::integer, if(i = 0, {rows}, 100 + i % 3), 0, 0, 0, 'b'
        from range({days} + 1) as days(i);
    """)  # fmt: skip
    outcomes = {one.expectation: one for one in judge_raw("load_days", warehouse).outcomes}
    volume = outcomes["last_day_volume_usual"]
    assert volume.is_passed == is_passed
    assert volume.observed_value == f"2024-04-01: {rows} lines"
    assert volume.threshold == (
        "91 to 111 lines" if days == 28 else "too few days before it to tell"
    )


# table, fault, expectation, observed value, first example
RELEASE_FAULTS = [
    ("customers", "alter table customers add email varchar default 'x'",
     "columns_match_contract", "email VARCHAR", "email VARCHAR"),
    ("customers", "update customers set lifecycle_stage = 'gone' where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set rule_id = null where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set lost_on = '2024-03-31' where customer_id = 'c'",
     "lost_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set lost_on = '2024-04-01' where customer_id = 'a'",
     "lost_as_defined", "1 of 4 unexpected", "a"),
    ("customers", "update customers set lost_threshold_days = 11 where customer_id <> 'b';"
     "update customers set lost_threshold_days = 10 where customer_id = 'b'",
     "lost_as_defined", "1 of 4 unexpected", "b"),
    ("customers", "update customers set net_revenue = 20.01 where customer_id = 'c'",
     "net_revenue_reconciles",
     "customers 60.01 + without customer 5.00 + excluded 2.00 = 67.01", None),
    ("customers", "update customers set value_tier = null where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set value_at_stake = 0 where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set net_revenue_trailing_365d = null",
     "no_column_empty", "1 of 16 columns empty", "net_revenue_trailing_365d"),
    ("customers", "update customers set currency = 'EUR' where customer_id = 'c'",
     "currency_as_declared", "1 of 4 unexpected", "c"),
    ("lifecycle_flow", "delete from lifecycle_flow where month = '2024-01-01';"
     "update lifecycle_flow set dormant_customer_count = 0, new_customer_count = 2,"
     " active_customer_count = 2 where month = '2024-02-01';"
     "update lifecycle_flow set dormant_customer_count = 1 where month = '2024-03-01'",
     "months_complete", "1 of 3 unexpected", "2024-01-01"),
    ("lifecycle_flow", "update lifecycle_flow set dormant_customer_count = 2"
     " where month = '2024-02-01'",
     "flow_reconciles", "1 of 3 unexpected", "2024-02-01"),
    ("lifecycle_flow", "update lifecycle_flow set new_customer_count = 0,"
     " resurrecting_customer_count = 1 where month = '2024-02-01'",
     "every_buyer_new_once", "2 new customers", None),
    ("cohort_retention", "delete from cohort_retention"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "cells_complete", "1 of 3 unexpected", "2024-01-01"),
    ("cohort_retention", "update cohort_retention set retention_rate = .99"
     " where acquisition_month = '2024-02-01' and months_since = 1",
     "rates_consistent", "1 of 6 unexpected", "2024-02-01:1"),
    ("cohort_retention", "delete from cohort_retention"
     " where acquisition_month = '2024-02-01'",
     "every_buyer_in_one_cohort", "2 customers in cohorts", None),
    ("lost_customers_by_month", "delete from lost_customers_by_month"
     " where lost_month = '2024-03-01' and value_tier = 'low'",
     "cells_complete", "1 of 2 unexpected", "2024-03-01"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set lost_month = '2024-04-01' where lost_month = '2024-03-01'",
     "cells_complete", "1 of 2 unexpected", "2024-04-01"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set lost_customer_count = 2 where lost_customer_count = 1 and value_tier = 'low'",
     "losses_reconcile", "2 lost and not recovered", None),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set recovered_customer_count = 1 where value_tier = 'low'"
     " and lost_month = '2024-03-01';"
     "update lost_customers_by_month set lost_customer_count = 2 where value_tier = 'low'"
     " and lost_month = '2024-02-01'",
     "recovered_within_lost", "1 of 6 unexpected", "2024-03-01:low"),
    ("winback_candidates", "delete from winback_candidates where customer_id = 'a'",
     "only_and_all_eligible", "1 of 2 unexpected", "a"),
    ("winback_candidates", "insert into winback_candidates values"
     " (3, 'c', 'low', 'new', null, 6, 1, 'USD', 'why')",
     "only_and_all_eligible", "1 of 3 unexpected", "c"),
    ("winback_candidates", "update winback_candidates set hiatus_days = 1 where rank = 1",
     "only_and_all_eligible", "1 of 2 unexpected", "b"),
    ("winback_candidates", "update winback_candidates set rank = 3 where rank = 2",
     "ranks_in_order", "1 of 2 unexpected", "a"),
    ("winback_candidates", "update winback_candidates set rank = 3 - rank",
     "ranks_in_order", "2 of 2 unexpected", "a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "fault", "expectation", "observed", "example"),
    RELEASE_FAULTS,
    ids=[fault[2] for fault in RELEASE_FAULTS],
)
def test_release_fault_is_named(
    table: str,
    fault: str,
    expectation: str,
    observed: str,
    example: str | None,
    release: Path,
    warehouse: Path,
) -> None:
    make(release, fault)
    faults = failed(judge_release(table, release, warehouse))
    assert list(faults) == [expectation]
    assert faults[expectation].observed_value == observed
    assert faults[expectation].example_ids[:1] == ((example,) if example else ())
    assert faults[expectation].unexpected_count >= 1


@pytest.mark.parametrize(
    ("fault", "observed"),
    [
        ("delete from customers where customer_id = 'p'", "1 missing, 0 unknown"),
        ("update customers set customer_id = 'z' where customer_id = 'p'", "1 missing, 1 unknown"),
        ("insert into customers by name from customers where customer_id = 'p'", None),
    ],
)
def test_every_known_customer_is_published_once(
    fault: str, observed: str | None, release: Path, warehouse: Path
) -> None:
    make(release, fault)
    faults = failed(judge_release("customers", release, warehouse))
    expectation = "every_known_customer_present" if observed else "customer_ids_unique"
    assert list(faults) == [expectation]
    assert faults[expectation].observed_value == (observed or "2 of 5 unexpected")


def test_lines_after_the_as_of_date_make_no_customer_known(release: Path, warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set customer_id = 'later' where source_row = 7")
    assert judge_release("customers", release, warehouse).is_passed


def test_stage_shares_are_compared_with_the_former_release(release: Path, warehouse: Path) -> None:
    make(warehouse, "insert into audit.former_stages values ('lost', 40), ('prospect', 60)")
    verdict = judge_release("customers", release, warehouse)
    drift = failed(verdict)["stage_shares_stable"]
    assert verdict.is_passed
    assert drift.observed_value == "prospect from 60.0% to 25.0%"
    assert drift.example_ids[0] == "prospect"
    assert drift.unexpected_count == 4


@pytest.mark.parametrize(("buyers", "is_passed"), [(46, True), (47, False)])
def test_share_of_the_high_tier_is_judged_from_50_buyers_on(
    buyers: int, is_passed: bool, release: Path, warehouse: Path
) -> None:
    make(release, f"""
        insert into customers by name
        select * replace (unnest(range({buyers}))::varchar as customer_id, 'high' as value_tier)
        from customers where customer_id = 'c'
    """)  # fmt: skip
    outcomes = judge_release("customers", release, warehouse).outcomes
    tiers = next(one for one in outcomes if one.expectation == "high_tier_share_plausible")
    assert tiers.is_passed == is_passed
    assert tiers.severity == "warning"


def test_only_critical_failures_block(warehouse: Path) -> None:
    make(warehouse, "update raw.loads set is_present = false")
    verdict = judge_raw("loads", warehouse)
    assert verdict.is_passed
    assert gates.blocked_message(verdict.outcomes) == ""

    make(warehouse, "update raw.loads set rejected_share = .05, rejected_count = 50")
    verdict = judge_raw("loads", warehouse)
    assert not verdict.is_passed
    message = gates.blocked_message(verdict.outcomes)
    assert message.splitlines()[0] == "raw gate, loads: rejected_share_within_limit failed"
    for part in ("5.00% of orders.csv", "line 12", "at most 1.00%", "1 of 1", "raw.rejected_rows"):
        assert part in message
    assert "files_still_present" not in message


def test_at_most_five_examples_are_kept(warehouse: Path) -> None:
    make(warehouse, "update raw.transactions set line_type = 'gift'")
    (outcome,) = failed(judge_raw("transactions", warehouse)).values()
    assert outcome.unexpected_count == outcome.evaluated_count == 7
    assert outcome.example_ids == tuple(f"orders.csv:{row}" for row in range(1, 6))


def test_expectation_that_raises_is_a_failure_of_the_run(warehouse: Path) -> None:
    make(warehouse, "alter table raw.transactions drop line_type")
    with pytest.raises(WinbackError) as raised:
        judge_raw("transactions", warehouse)
    assert raised.value.exit_code == 1
    message = str(raised.value)
    assert "raw gate" in message
    assert "transactions" in message
    assert "expectation required_values_present raised" in message
    assert '"line_type" not found' in message
    assert "\n" not in message


@pytest.mark.parametrize("fault", ["drop table raw.loads", "drop table audit.limits"])
def test_missing_table_is_a_failure_of_the_run(fault: str, warehouse: Path) -> None:
    make(warehouse, fault)
    with pytest.raises(WinbackError, match="raw gate could not judge loads"):
        judge_raw("loads", warehouse)


@pytest.mark.parametrize(
    "fault", [{"type": "expect_the_best"}, {"kwargs": {"columns": {}, "sorts": 1}}]
)
def test_expectation_that_cannot_be_read_is_a_failure_of_the_run(
    fault: dict[str, object], warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = json.loads((gates.EXPECTATIONS_DIR / "raw" / "transactions.json").read_text())
    suite["expectations"][0] |= fault
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "transactions.json").write_text(json.dumps(suite))
    monkeypatch.setattr(gates, "EXPECTATIONS_DIR", tmp_path)
    with pytest.raises(WinbackError, match="raw gate could not judge transactions"):
        judge_raw("transactions", warehouse)


@pytest.mark.parametrize("is_raising", [False, True])
def test_no_lock_is_held_afterwards(is_raising: bool, release: Path, warehouse: Path) -> None:
    if is_raising:
        make(release, "alter table customers drop rule_id")
        with pytest.raises(WinbackError):
            judge_release("customers", release, warehouse)
    else:
        judge_release("customers", release, warehouse)
    for file in (release, warehouse):
        write = (
            f"import duckdb; duckdb.connect({str(file)!r}).execute('create table written(i int)')"
        )
        subprocess.run([sys.executable, "-c", write], check=True)


def test_files_are_only_read(release: Path, warehouse: Path) -> None:
    before = release.read_bytes(), warehouse.read_bytes()
    release.chmod(0o444)
    assert judge_release("customers", release, warehouse).is_passed
    assert (release.read_bytes(), warehouse.read_bytes()) == before


def test_path_is_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "it's ${HOME} 100%"
    folder.mkdir()
    warehouse = make(folder / "warehouse.duckdb", WAREHOUSE + LINES)
    release = make(folder / "winback.duckdb", RELEASE + PUBLISHED)
    assert judge_release("customers", release, warehouse).is_passed


def test_judging_prints_nothing(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judge_raw("campaigns", warehouse)
    assert capfd.readouterr() == ("", "")


def test_data_docs_open_from_disk_without_values(
    release: Path, warehouse: Path, tmp_path: Path
) -> None:
    make(warehouse, """
        insert into raw.customers by name
        select 'x' as customer_id, 'secret@example.org' as email, 'c.csv' as source_file,
            unnest([1, 2]) as source_row;
        insert into raw.interactions by name
        select 'x' as customer_id, timestamp '2024-01-01' as occurred_at,
            'secret@example.org' as interaction_type, 'i.csv' as source_file, 1 as source_row
    """)  # fmt: skip
    verdicts = [judge_raw(table, warehouse) for table in ("customers", "interactions", "loads")]
    verdicts.append(judge_release("customers", release, warehouse))
    # What another process stored can be shown too.
    verdicts = [
        gates.TableVerdict(one.gate, one.table_name, (), json.loads(json.dumps(one.result)))
        for one in verdicts
    ]
    gates.build_data_docs(verdicts, tmp_path / "docs")
    pages = {page: page.read_text() for page in (tmp_path / "docs").rglob("*.html")}
    index = pages[tmp_path / "docs" / "index.html"]
    assert (
        index.count('<tr class="passed">')
        == sum(len(one.result["results"]) for one in verdicts) - 2
    )
    assert index.count('<tr class="warns">') == 2
    assert "http" not in index
    for link in re.findall('href="([^"]+)"', index):
        assert (tmp_path / "docs" / link).is_file()
    results = [page for page in pages if "validations" in page.parts]
    assert {page.stem for page in results} == {"customers", "interactions", "loads"}
    assert len(results) == 4
    assert any("Every customer is in one of the six stages" in text for text in pages.values())
    assert any("0.50% of orders.csv (5 of 1000 lines)" in text for text in pages.values())
    assert not any("secret" in text for text in pages.values())
    assert not any("unexpected Exception" in text for text in pages.values())


@pytest.mark.parametrize("gate", ["raw", "release"])
def test_suites_are_well_formed(gate: str) -> None:
    for table in gates.suite_tables(gate):
        suite = json.loads((gates.EXPECTATIONS_DIR / gate / f"{table}.json").read_text())
        assert suite["name"] == f"{gate}.{table}"
        ids = [one["meta"]["id"] for one in suite["expectations"]]
        assert len(ids) == len(set(ids))
        for one in suite["expectations"]:
            assert one["severity"] in ("critical", "warning")
            assert one["description"].endswith(".")
            assert one["meta"]["mend"].endswith(".")


@pytest.mark.parametrize("table", canonical.TABLES.values(), ids=lambda table: table.name)
def test_raw_suites_know_the_canonical_columns(table: canonical.Table) -> None:
    suite = json.loads((gates.EXPECTATIONS_DIR / "raw" / f"{table.name}.json").read_text())
    contract = suite["expectations"][0]["kwargs"]["columns"]
    columns = {one.name: one.sql_type for one in (*table.columns, *canonical.LINEAGE)}
    if table is canonical.TRANSACTIONS:
        columns["amount_original"] = canonical.EXACT_NUMBER
    assert contract == columns
