"""The raw gate on a small warehouse: everything good passes, each fault is named."""

import json
from pathlib import Path

import pytest
from support.gate_cases import contract, failed, judge_raw, make
from support.small_warehouse import LINES, WAREHOUSE

from dagster_project.config import canonical
from dagster_project.gates import suites

TWO_FILES = """
    insert into raw.loads by name
    select 'transactions' as table_name, 'late.csv' as source_file, 9 as row_count;
    insert into raw.repeated_lines values ('2024-01-05', 'late.csv', 'orders.csv', 1, 0)
"""
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
     "currency_as_declared", "1 of 7 unexpected", "orders.csv:7"),
    ("transactions", "update raw.transactions set amount = 1000.01 where source_row = 1",
     "amounts_within_bounds", "5.00 to 1000.01", "orders.csv:1"),
    ("transactions", "update raw.transactions set amount = -12.50, ordered_on = '2024-02-17'"
     " where source_row = 6",
     "no_sale_cancelled_by_an_excluded_credit", "1 excluded credits, sum -12.50", "orders.csv:6"),
    ("transactions", "update raw.transactions set amount = -30, ordered_on = '2024-03-19'"
     " where source_row = 6; update raw.transactions set transaction_id = 'o',"
     " ordered_on = '2024-03-20' where source_row in (2, 3)",
     "no_sale_cancelled_by_an_excluded_credit", "1 excluded credits, sum -30.00", "orders.csv:6"),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'exclude', '1: test', 0, null, 'b'),"
     " ('transactions', 'orders.csv', 'line_type', '1: return', 3, -9, 'b'),"
     " ('transactions', 'gone.csv', 'exclude', '1: test', 5, 9, 'b')",
     "every_rule_matches", "exclude rule 1: test: no line", "exclude rule 1: test"),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'spelling', 'st is ''Paid''', 3, 9, 'b'),"
     " ('transactions', 'a.csv', 'spelling', 'st is ''Paid''', 1, 9, 'b')",
     "compared_texts_in_one_spelling", "st is 'Paid' in 4 lines, first in a.csv", "st is 'Paid'"),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'return_sign', 'positive', 3, -9.50, 'b'),"
     " ('transactions', 'orders.csv', 'return_sign', 'negative', 2, -4, 'b'),"
     " ('transactions', 'a.csv', 'return_sign', 'negative', 1, -4, 'b')",
     "returns_in_one_sign", "orders.csv: 3 returns given as positive amounts, sum 9.50,"
     " and 2 as negative ones, sum -4.00", "orders.csv"),
    ("duplicate_keys", "insert into raw.duplicate_keys values ('orders.csv', 3, 't3')",
     "declared_key_unique", "1 of 7 unexpected", "t3 at orders.csv:3"),
    ("duplicate_keys", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'superseded_in_file', 'superseded', 2, 12.50, 'b1')",
     "no_line_superseded_in_its_file", "2 lines, amount 12.50", "orders.csv"),
    ("repeated_lines", TWO_FILES,
     "no_lines_delivered_twice", "1 of 1 lines of orders.csv (100%) stand again in late.csv",
     "1 of 1 lines of orders.csv (100%) stand again in late.csv"),
    ("repeated_lines", "update raw.compared_days set line_count = 3;" + TWO_FILES,
     "no_line_in_two_files", "1 of 3 lines of late.csv (33%) stand again in orders.csv",
     "1 of 3 lines of late.csv (33%) stand again in orders.csv"),
    ("loads", "update raw.loads set record_count = record_count + rejected_count - 50,"
     " rejected_count = 50, rejected_share = .05",
     "rejected_share_within_limit",
     "5.00% of orders.csv (50 of 1000 lines)"
     "; line 12: amount is not a number; line 40: no date",
     "orders.csv"),
    ("loads", "update audit.lost_lines set former_count = 5, lost_count = 3,"
     " words = '3 of 5 lines', examples = ['transactions orders.csv'] where severity = 'critical'",
     "no_lines_lost", "3 of 5 lines", "transactions orders.csv"),
    ("loads", "update raw.loads set is_present = false",
     "files_still_present", "1 of 1 unexpected", "orders.csv"),
    ("load_days", "update audit.limits set earliest_day = '2024-02-01'",
     "dates_within_period", "2024-01-05 to 2024-04-01", "orders.csv 2024-01-05"),
    ("load_days", "update audit.limits set latest_day = '2024-03-24'",
     "dates_within_period", "2024-01-05 to 2024-04-01", "orders.csv 2024-03-25"),
    ("load_days", "update audit.limits set today = '2024-03-31'",
     "no_date_after_today", "latest 2024-04-01", "orders.csv 2024-04-01"),
    ("load_days", "update raw.load_days set used_row_count = 0, customerless_row_count = 0,"
     " used_amount = 0; update raw.transactions set excluded_reason = 'test' where source_row > 1;"
     " update raw.transactions set excluded_reason = 'gift' where source_row = 1",
     "some_customer_buys", "7 lines loaded, 0 count, 0 of them name a customer; excluded: test 6,"
     " gift 1", None),
    ("load_days", "update audit.limits set maximum_customerless_share = .1",
     "customerless_share_within_limit", "16.67% (1 of 6 lines)", "orders.csv"),
    ("load_days", "update raw.transactions set amount = amount + .01 where source_row = 1",
     "days_reconcile_with_lines", "7 lines, amount 166.01, used 6 lines, 164.01", None),
    ("load_days", "delete from raw.transactions where source_row = 1",
     "days_reconcile_with_lines", "6 lines, amount 156.00, used 5 lines, 154.00", None),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'scientific_id', 'customer_id', 200, null, 'b')",
     "no_scientific_ids", "1 of 1 unexpected", "transactions:orders.csv:customer_id"),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'no_customer', 'guest', 3, 5, 'b'),"
     " ('transactions', 'orders.csv', 'no_customer', '0', 40, 5, 'b')",
     "no_placeholder_customers", "0 (40 lines), guest (3 lines)", None),
    ("load_report", "insert into raw.load_report values"
     " ('customers', 'c.csv', 'kept_no_customer', 'guest', 1, null, 'b')",
     "no_placeholder_listed_as_customer", "guest (1 lines)", None),
    ("load_report", "insert into raw.load_report values"
     " ('transactions', 'orders.csv', 'id_like_phone', 'customer_id', 498, null, 'b')",
     "ids_no_phone_numbers", "transactions:customer_id 498 of 995 lines",
     "transactions:customer_id"),
    ("transactions", "insert into raw.transactions by name select * exclude (i) replace"
     " (if(i < 60, 'till', 'n' || i) as customer_id) from raw.transactions"
     " cross join range(800) as r(i) where source_row = 1",
     "no_outsize_customer", "largest 7.45% of the lines, 1 of 5 days", "till"),
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


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", suites.suite_tables("raw"))
def test_good_raw_tables_pass(table: str, rows: str, tmp_path: Path) -> None:
    # Without rows nobody buys, which a source may allow.
    nobody = "update audit.limits set allows_no_customers = true"
    sql = WAREHOUSE + (LINES if rows == "with rows" else nobody)
    verdict = judge_raw(table, make(tmp_path / "warehouse.duckdb", sql))
    assert failed(verdict) == {}
    assert verdict.is_passed


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


def test_no_contact_of_a_key_or_a_file_is_told(warehouse: Path) -> None:
    """A declared key may be an address, and so may be a part of a file's name."""
    file = "orders_jane.roe@example.org.csv"
    make(warehouse, f"insert into raw.duplicate_keys values ('{file}', 3, '13800138000'),"
         f" ('{file}', 4, 'jane.roe@example.org');"
         " update raw.loads set rejected_share = .5, rejected_count = 50,"
         f" source_file = '{file}'")  # fmt: skip
    keys, loads = judge_raw("duplicate_keys", warehouse), judge_raw("loads", warehouse)
    assert failed(keys)["declared_key_unique"].example_ids == ("… at ….csv:3", "… at ….csv:4")
    assert failed(loads)["rejected_share_within_limit"].example_ids == ("….csv",)
    told = json.dumps([keys.result, loads.result], ensure_ascii=False)
    assert [one for one in ("jane", "example.org", "13800138000") if one in told] == []


@pytest.mark.parametrize(("lines", "expected"), [(200, []), (201, ["scientific_ids_rare"])])
def test_scientific_ids_block_above_a_fifth(
    lines: int, expected: list[str], warehouse: Path
) -> None:
    row = f"('transactions', 'orders.csv', 'scientific_id', 'customer_id', {lines}, 0, 'b')"
    make(warehouse, f"insert into raw.load_report values {row}")
    verdict = judge_raw("load_report", warehouse)
    assert list(failed(verdict)) == [*expected, "no_scientific_ids"]
    assert verdict.is_passed == (not expected)


@pytest.mark.parametrize(
    ("in_transactions", "listed", "is_settled"),
    [
        ("no_customer", None, True),
        ("kept_no_customer", "guest", True),
        ("no_customer", "guest", False),
        ("kept_no_customer", None, False),
        ("kept_no_customer", "Guest", False),
    ],
)
def test_values_decided_before_customers_were_read_block(
    in_transactions: str, listed: str | None, is_settled: bool, warehouse: Path
) -> None:
    make(warehouse, "insert into raw.load_report values"
         f" ('transactions', 'orders.csv', '{in_transactions}', 'guest', 3, 0, 'b')")  # fmt: skip
    if listed:
        make(warehouse, "insert into raw.load_report values"
             f" ('customers', 'c.csv', 'kept_no_customer', '{listed}', 1, 0, 'b')")  # fmt: skip
    verdict = judge_raw("load_report", warehouse)
    assert ("no_customer_values_settled" not in failed(verdict)) == is_settled
    assert verdict.is_passed == is_settled


@pytest.mark.parametrize(
    ("rows", "days", "is_passed"), [(101, 28, True), (60, 28, False), (60, 27, True)]
)
def test_volume_is_judged_from_28_earlier_days_on(
    rows: int, days: int, is_passed: bool, warehouse: Path
) -> None:
    make(warehouse, f"""
        delete from raw.load_days;
        insert into raw.load_days
        select
            'x.csv', date '2024-03-31' - i::integer, row_count, 0, 0, 0, 'b', row_count
        from (
            select i, if(i = 0, {rows}, 100 + i % 3) as row_count from range({days} + 1) as days(i)
        );
    """)  # fmt: skip
    outcomes = {one.expectation: one for one in judge_raw("load_days", warehouse).outcomes}
    volume = outcomes["last_day_volume_usual"]
    assert volume.is_passed == is_passed
    assert volume.observed_value == f"2024-03-31: {rows} lines"
    assert volume.threshold == (
        "91 to 111 lines" if days == 28 else "too few days before it to tell"
    )


@pytest.mark.parametrize("table", canonical.TABLES.values(), ids=lambda table: table.name)
def test_raw_suites_know_the_canonical_columns(table: canonical.Table) -> None:
    columns = {one.name: one.sql_type for one in (*table.columns, *canonical.LINEAGE)}
    if table is canonical.TRANSACTIONS:
        columns["amount_original"] = canonical.EXACT_NUMBER
    assert contract("raw", table.name) == columns
