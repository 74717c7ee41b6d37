"""What the raw gate judges of a small shop, as SQL: a warehouse that passes, and an empty one."""

from dagster_project.config import canonical
from dagster_project.gates.limits import FEED_DDL
from dagster_project.gates.lost_lines import LOST_LINES_DDL


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


# As of 2024-03-31 with a lost threshold of 30 days: a is lost, b won back and in alarm, c new, p a
# prospect known since nobody can say when.
WAREHOUSE = f"""
create schema raw; create schema intermediate; create schema audit;
{raw_tables()}
create table raw.loads (table_name varchar, source_file varchar, file_hash varchar,
    load_key varchar, line_count bigint, row_count bigint, rejected_count bigint,
    rejected_share double, is_present boolean, batch_id varchar, loaded_at timestamp,
    record_count bigint, empty_count bigint, break_count bigint, blank_count bigint,
    delivered_at timestamp);
create table raw.load_days (source_file varchar, ordered_on date, row_count bigint,
    customerless_row_count bigint, amount decimal(38,2), used_amount decimal(38,2),
    batch_id varchar, used_row_count bigint);
create table raw.load_report (table_name varchar, source_file varchar, measure varchar,
    item varchar, line_count bigint, amount decimal(38,2), batch_id varchar);
create table raw.rejected_rows (table_name varchar, source_file varchar, file_hash varchar,
    row_number bigint, reason varchar, original_text varchar, batch_id varchar,
    loaded_at timestamp);
create table raw.duplicate_keys (source_file varchar, source_row bigint, transaction_id varchar);
create table raw.compared_days (ordered_on date, source_file varchar, batch_id varchar,
    line_count bigint);
create table raw.repeated_lines (ordered_on date, source_file varchar, other_file varchar,
    line_count bigint, few_line_count bigint);
create table intermediate.int_known_customers (customer_id varchar, known_on date);
create table audit.former_stages (lifecycle_stage varchar, customer_count bigint,
    as_of_date date);
{FEED_DDL};
create table audit.limits as select 'shop' as source_name, 'USD' as currency,
    date '2024-03-31' as as_of_date, date '2024-04-02' as today, date '2024-01-01' as earliest_day,
    null::date as latest_day, -100::decimal(18,2) as minimum_amount,
    1000::decimal(18,2) as maximum_amount, .01::double as maximum_rejected_share,
    .5::double as maximum_customerless_share, []::varchar[] as key_columns,
    false as keeps_last_duplicate, []::varchar[] as contact_columns,
    false as allows_no_customers;
{LOST_LINES_DDL};
insert into audit.lost_lines
from (values ('critical', 0, 0, [], 'none lost'), ('warning', 0, 0, [], 'none lost'));
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
select source_file, ordered_on, count(*),
    count_if(customer_id is null and excluded_reason is null), sum(amount),
    coalesce(sum(amount) filter (excluded_reason is null), 0), 'b1',
    count_if(excluded_reason is null)
from raw.transactions group by all;
insert into raw.loads values
    ('transactions', 'orders.csv', 'h', 'k', 1000, 995, 5, .005, true, 'b1', now()::timestamp,
        995, 0, 0, 0, now()::timestamp);
insert into raw.rejected_rows values
    ('transactions', 'orders.csv', 'h', 12, 'amount is not a number', 'x,y', 'b1', null),
    ('transactions', 'orders.csv', 'h', 40, 'no date', 'x,y', 'b1', null);
insert into raw.compared_days values ('2024-01-05', 'orders.csv', 'b1', 1),
    ('2024-01-05', 'late.csv', 'b1', 4);
insert into intermediate.int_known_customers values ('p', null);
"""
