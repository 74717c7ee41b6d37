"""The gates on small warehouses and releases: everything good passes, each fault is named."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
import yaml

from dagster_project.config import canonical
from dagster_project.errors import WinbackError
from dagster_project.gates import suites
from dagster_project.paths import DBT_DIR


def suite(gate: str, table: str) -> dict:
    return json.loads((suites.EXPECTATIONS_DIR / gate / f"{table}.json").read_text())


def contract(gate: str, table: str) -> dict[str, str]:
    return suite(gate, table)["expectations"][0]["kwargs"]["columns"]


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


def release_tables() -> str:
    """SQL of the published tables; only what does not depend on data has rows."""
    statements = [
        f"create table {table} ({', '.join(map(' '.join, contract('release', table).items()))});"
        for table in suites.suite_tables("release")
    ]
    seeds = DBT_DIR / "seeds"
    for seed in ("stage_rules", "churn_presets", "rfm_groups"):
        file = f"read_csv('{seeds / seed}.csv', all_varchar = true)"
        statements.append(f"insert into {seed} by name from {file};")
    return "\n".join(statements)


# As of 2024-03-31 with a lost threshold of 30 days: a is lost, b won back and in alarm, c new, p a
# prospect known since nobody can say when.
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
RELEASE = f"""
{release_tables()}
insert into churn_definitions by name
select
    * exclude (days), days as first_time_lost_days, days as repeat_lost_days, 'purchase' as basis,
    date '0001-01-01' as valid_from, definition_id = 'active' as is_in_force,
    'words' as description, '话' as description_zh
from (values
    ('active', 'fixed', 30, null, null, null, null),
    ('fixed_60', 'fixed', 60, null, null, null, null),
    ('cadence_3', 'cadence', null, 3, 10, 60, null),
    ('survival_80', 'survival', 30, null, null, null, .8),
    ('everybody_lost', 'everybody_lost', null, null, null, null, null),
    ('nobody_lost', 'nobody_lost', null, null, null, null, null)
) as definitions(
    definition_id, method, days, gap_multiple, minimum_lost_days, maximum_lost_days, quantile
);
insert into alert_quality by name
select
    unnest(['overdue', 'value_down', 'volume_down', 'basket_narrowing', 'return_share_rising'])
        as alert_type,
    date '2024-03-01' as evaluated_on, 3 as horizon_months, 0 as alert_count,
    alert_type = 'overdue' as is_alarming, 'words' as finding;
insert into score_versions by name
select
    *, false as is_published, 'words' as reason, 0 as customer_count, 0 as repeat_customer_count,
    date '2024-03-31' as data_to
from (values
    ('return_probability_90d', 'mbg_nbd'), ('return_probability_90d', 'hiatus_rule'),
    ('expected_purchases', 'mbg_nbd'), ('probability_alive', 'mbg_nbd'),
    ('expected_order_value', 'gamma_gamma')
) as candidates(score, model);
insert into tier_versions by name
select
    1 as version, *, date '0001-01-01' as valid_from, true as is_in_force, 'revenue' as measure,
    'share' as method, 0 as customer_count, 0 as value_at_stake, 0 as margin_at_stake,
    'USD' as currency, 'words' as label, '话' as label_zh
from (values ('high', 1, .2), ('middle', 2, .5), ('low', 3, null))
    as tiers(value_tier, tier_order, boundary);
insert into spend_comparisons by name
select
    unnest([
        'year_3_to_first_6_months', 'year_3_to_first_6_months_of_survivors',
        'client_to_first_purchase'
    ]) as comparison,
    0 as base_customer_count, 0 as compared_customer_count, 'USD' as currency, 'words' as note,
    'words' as base_description, 'words' as compared_description;
insert into driver_correlations by name
select
    outcome, feature, 'association' as relation, 0 as customer_count,
    'not judged: words' as finding
from
    (select unnest(['repeat_purchase', 'later_net_revenue']) as outcome),
    (
        select unnest([
            'first_basket_value', 'first_discount_share', 'second_purchase_within_30d',
            'first_category', 'first_channel', 'acquisition_source', 'onboarding_event'
        ]) as feature
    );
"""
PUBLISHED = """
insert into customers by name
select
    * exclude (value), 'USD' as currency, value as net_revenue,
    value as net_revenue_trailing_365d, value as value_at_stake, times_regained > 0 as is_won_back,
    case when last_purchase_on is not null then 10 end as expected_gap_days,
    case when last_purchase_on is not null then 30 end as lost_threshold_days
from (values
    ('a', '2024-01-05'::date, '2024-01-05'::date, '2024-01-05'::date, 1, 86, 10, 'low',
        'lost', 'lost_over_threshold', 'first_time', 'first_time_one_purchase_day',
        'bought', 'bought_purchase_days', '2024-02-05'::date, null, 1, 0),
    ('b', '2024-02-10', '2024-02-10', '2024-03-20', 2, 11, 30, 'high',
        'alarm', 'alarm_over_own_rhythm', 'repeat', 'repeat_purchase_days',
        'bought', 'bought_purchase_days', null, 20, 1, 1),
    ('c', '2024-03-25', '2024-03-25', '2024-03-25', 1, 6, 20, 'middle',
        'new', 'new_first_purchase', 'first_time', 'first_time_one_purchase_day',
        'bought', 'bought_purchase_days', null, 25, 0, 0),
    ('p', null, null, null, 0, null, 0, null,
        'prospect', 'prospect_never_bought', 'suspect', 'suspect_no_interaction',
        'never_contacted', 'never_contacted_yet', null, null, 0, 0)
) as rows(
    customer_id, known_on, first_purchase_on, last_purchase_on, purchase_day_count, hiatus_days,
    value, value_tier, lifecycle_stage, rule_id, loyalty_stage, loyalty_rule_id, contact_class,
    contact_rule_id, lost_on, days_until_lost, times_lost, times_regained
);
insert into customer_values by name
select
    customer_id, period, period_order, net_revenue, net_revenue * .3 as margin,
    purchase_day_count as order_count, purchase_day_count, net_revenue as sale_amount,
    0 as discount_amount, 0 as return_amount,
    net_revenue / nullif(purchase_day_count, 0) as average_order_value,
    if(purchase_day_count > 0, 0, null) as discount_share, discount_share as return_share, currency
from (
    select
        *, unnest(['lifetime', 'trailing_365d', 'trailing_90d', 'last_active_year']) as period,
        unnest([1, 2, 3, 4]) as period_order
    from customers
);
update tier_versions set customer_count = 1,
    value_at_stake = case value_tier when 'high' then 30 when 'middle' then 20 else 10 end,
    cutoff_amount = case value_tier when 'high' then 30 when 'middle' then 20 end;
insert into value_tier_movements by name
select *, 1 as customer_count, 'USD' as currency, true as is_complete_month
from (values
    ('2024-01-01', 'none', 'low', 10),
    ('2024-02-01', 'low', 'low', 10),
    ('2024-02-01', 'none', 'high', 12.5),
    ('2024-03-01', 'low', 'low', 10),
    ('2024-03-01', 'high', 'high', 30),
    ('2024-03-01', 'none', 'middle', 20)
) as movements(month, from_tier, to_tier, value_at_stake);
insert into customer_rfm by name
select
    *, concat(recency_score, frequency_score, monetary_score) as rfm_code, 'USD' as currency
from (values
    ('a', 86, 1, 10, 1, 1, 1, 1, 'lost'),
    ('b', 11, 2, 30, 2, 4, 4, 4, 'at_risk'),
    ('c', 6, 1, 20, 4, 1, 2, 2, 'potential_loyalists')
) as scored(
    customer_id, recency_days, frequency, monetary, recency_score, frequency_score,
    monetary_score, fm_score, rfm_group
);
insert into customer_stage_history by name
select
    customer_id, axis, stage, rule_id, valid_from::date as valid_from, valid_to::date as valid_to,
    valid_to = '2024-03-31' as is_current, value_at_stake, 'USD' as currency
from (values
    ('a', 'bought_purchase_days', '2024-01-05', '2024-03-31', 10),
    ('a', 'new_first_purchase', '2024-01-05', '2024-01-15', 10),
    ('a', 'vulnerable_no_rhythm', '2024-01-16', '2024-01-25', 10),
    ('a', 'alarm_over_two_thirds', '2024-01-26', '2024-02-04', 10),
    ('a', 'lost_over_threshold', '2024-02-05', '2024-03-31', 10),
    ('a', 'first_time_one_purchase_day', '2024-01-05', '2024-03-31', 10),
    ('b', 'bought_purchase_days', '2024-02-10', '2024-03-31', 12.5),
    ('b', 'new_first_purchase', '2024-02-10', '2024-02-20', 12.5),
    ('b', 'vulnerable_no_rhythm', '2024-02-21', '2024-03-01', 12.5),
    ('b', 'alarm_over_two_thirds', '2024-03-02', '2024-03-11', 12.5),
    ('b', 'lost_over_threshold', '2024-03-12', '2024-03-19', 12.5),
    ('b', 'vulnerable_no_rhythm', '2024-03-20', '2024-03-30', 30),
    ('b', 'alarm_over_own_rhythm', '2024-03-31', '2024-03-31', 30),
    ('b', 'first_time_one_purchase_day', '2024-02-10', '2024-03-19', 12.5),
    ('b', 'repeat_purchase_days', '2024-03-20', '2024-03-31', 30),
    ('c', 'bought_purchase_days', '2024-03-25', '2024-03-31', 20),
    ('c', 'new_first_purchase', '2024-03-25', '2024-03-31', 20),
    ('c', 'first_time_one_purchase_day', '2024-03-25', '2024-03-31', 20),
    ('p', 'never_contacted_yet', '2024-01-01', '2024-03-31', 0),
    ('p', 'prospect_never_bought', '2024-01-01', '2024-03-31', 0),
    ('p', 'suspect_no_interaction', '2024-01-01', '2024-03-31', 0)
) as intervals(customer_id, rule_id, valid_from, valid_to, value_at_stake)
join stage_rules using (rule_id)
order by customer_id, axis, valid_from;
insert into stage_transitions by name
select *, 1 as customer_count, 10 as value_at_stake, 'USD' as currency
from (values
    ('2024-01-01', 'lifecycle_stage', 'unknown', 'prospect'),
    ('2024-01-01', 'lifecycle_stage', 'unknown', 'alarm'),
    ('2024-02-01', 'lifecycle_stage', 'alarm', 'lost'),
    ('2024-02-01', 'lifecycle_stage', 'unknown', 'vulnerable'),
    ('2024-03-01', 'lifecycle_stage', 'vulnerable', 'alarm'),
    ('2024-03-01', 'lifecycle_stage', 'unknown', 'new'),
    ('2024-01-01', 'loyalty_stage', 'unknown', 'suspect'),
    ('2024-01-01', 'loyalty_stage', 'unknown', 'first_time'),
    ('2024-02-01', 'loyalty_stage', 'unknown', 'first_time'),
    ('2024-03-01', 'loyalty_stage', 'first_time', 'repeat'),
    ('2024-03-01', 'loyalty_stage', 'unknown', 'first_time'),
    ('2024-01-01', 'contact_class', 'unknown', 'never_contacted'),
    ('2024-01-01', 'contact_class', 'unknown', 'bought'),
    ('2024-02-01', 'contact_class', 'unknown', 'bought'),
    ('2024-03-01', 'contact_class', 'unknown', 'bought')
) as moves(month, axis, from_stage, to_stage);
insert into alerts values
    ('a', 'overdue', 'days of silence, against the expected gap', 10, 21, 20, 'up',
        '2024-01-26', '2024-02-05', 'lost'),
    ('b', 'basket_narrowing', 'sale lines per purchase day', 4, 1, 2, 'down',
        '2024-02-10', '2024-03-01', 'recovered'),
    ('b', 'overdue', 'days of silence, against the expected gap', 10, 21, 20, 'up',
        '2024-03-02', '2024-03-12', 'lost'),
    ('b', 'overdue', 'days of silence, against the expected gap', 3.5, 11, 10, 'up',
        '2024-03-31', null, 'open'),
    ('c', 'return_share_rising', 'share of sales returned', 0, .2, .2, 'up',
        '2024-03-28', null, 'open');
insert into lost_episodes values
    ('a', 1, '2024-01-05', '2024-02-05', null, 55, true, 'low', 10, null, null, null, null, null,
        'USD'),
    ('b', 1, '2024-02-10', '2024-03-12', '2024-03-20', 8, false, 'high', 12.5, 17.5, false, null,
        17.5, false, 'USD');
insert into lost_customers_by_month by name
select
    *, 'USD' as currency,
    case when lost_month = '2024-02-01' then 0 end as recovered_within_30d_count
from (values
    ('2024-02-01'::date, 'high', 0, 0, 0),
    ('2024-02-01', 'middle', 0, 0, 0),
    ('2024-02-01', 'low', 1, 10, 0),
    ('2024-03-01', 'high', 1, 12.5, 1),
    ('2024-03-01', 'middle', 0, 0, 0),
    ('2024-03-01', 'low', 0, 0, 0)
) as losses(
    lost_month, value_tier, lost_customer_count, value_at_stake, recovered_customer_count
);
insert into churn_rates by name
select
    *, 'USD' as currency, true as is_complete_month,
    lost_customer_count / base_customer_count as churn_rate,
    round(1 - (1 - lost_customer_count / base_customer_count) ^ (365 / day(last_day(month))), 6)
        as annualised_churn_rate
from (values
    ('active', '2024-02-01'::date, 'all', 'all', 1, 1, 10),
    ('active', '2024-02-01', 'value_tier', 'low', 1, 1, 10),
    ('active', '2024-02-01', 'acquisition_year', '2024', 1, 1, 10),
    ('active', '2024-03-01', 'all', 'all', 1, 1, 12.5),
    ('active', '2024-03-01', 'value_tier', 'high', 1, 1, 12.5),
    ('active', '2024-03-01', 'acquisition_year', '2024', 1, 1, 12.5),
    ('active', '2024-03-01', 'region', 'north', 1, 1, 12.5),
    ('fixed_60', '2024-02-01', 'all', 'all', 1, 0, 0),
    ('fixed_60', '2024-02-01', 'value_tier', 'low', 1, 0, 0),
    ('fixed_60', '2024-02-01', 'acquisition_year', '2024', 1, 0, 0),
    ('fixed_60', '2024-03-01', 'all', 'all', 2, 1, 10),
    ('fixed_60', '2024-03-01', 'value_tier', 'low', 1, 1, 10),
    ('fixed_60', '2024-03-01', 'value_tier', 'high', 1, 0, 0),
    ('fixed_60', '2024-03-01', 'acquisition_year', '2024', 2, 1, 10)
) as rates(
    definition_id, month, segment, segment_value, base_customer_count, lost_customer_count,
    lost_value
);
insert into churn_definition_backtest by name
select *, '2024-01-01' as cutoff_on, 90 as horizon_days, 10 as customer_count, 6 as gone_count
from (values
    ('active', 30, 30, 5, 1, 2, .2, .333333, .7, .708333),
    ('fixed_60', 60, 60, 4, 0, 2, 0, .333333, .8, .833333),
    ('cadence_3', null, null, 5, 1, 2, .2, .333333, .7, .708333),
    ('survival_80', 30, 30, 5, 1, 2, .2, .333333, .7, .708333),
    ('everybody_lost', null, null, 10, 4, 0, .4, 0, .6, .5),
    ('nobody_lost', null, null, 0, 0, 6, null, 1, .4, .5)
) as calls(
    definition_id, first_time_lost_days, repeat_lost_days, called_lost_count, false_lost_count,
    missed_count, false_lost_rate, missed_rate, accuracy, balanced_accuracy
);
insert into churn_definition_summary by name
select
    * exclude (cutoff_on, first_time_lost_days, repeat_lost_days), 1 as cutoff_count,
    definition_id = 'active' as is_active, definition_id = 'fixed_60' as is_best,
    called_lost_count > 0 as is_eligible, balanced_accuracy - .833333 as difference_from_best,
    if(is_best, 0, -.4) as difference_low, if(is_best, 0, .1) as difference_high,
    false as is_worse_than_best, 'words' as finding
from churn_definition_backtest;
insert into lifecycle_flow values
    ('2024-01-01', 1, 1, 0, 0, 0, true),
    ('2024-02-01', 1, 1, 0, 0, 1, true),
    ('2024-03-01', 2, 1, 1, 0, 0, true);
insert into cohort_retention values
    ('2024-01-01', 0, 1, 1, 1, 1, 1, 1, 1, 10, 10, 'USD', true),
    ('2024-01-01', 1, 1, 0, 0, 0, 0, 0, 0, 0, 10, 'USD', true),
    ('2024-01-01', 2, 1, 0, 0, 0, 0, 0, 0, 0, 10, 'USD', true),
    ('2024-02-01', 0, 1, 1, 1, 1, 1, 1, 1, 12.5, 12.5, 'USD', true),
    ('2024-02-01', 1, 1, 1, 1, 1, 1, 1, 1, 17.5, 30, 'USD', true),
    ('2024-03-01', 0, 1, 1, 1, 1, 1, 1, 1, 20, 20, 'USD', true);
insert into spend_by_tenure by name
select
    *, 'USD' as currency, observed_customer_count = acquired_customer_count as is_mature,
    survivor_count / observed_customer_count as survival_rate,
    net_revenue / observed_customer_count as net_revenue_per_acquired_customer,
    survivor_net_revenue / nullif(survivor_count, 0) as net_revenue_per_survivor
from (values
    ('all', 'all', 0, 3, 2, 2, 22.5, 22.5, 11.25),
    ('all', 'all', 1, 3, 1, 0, 0, 0, 10),
    ('all', 'all', 2, 3, 0, null, null, null, null),
    ('acquisition_month', '2024-01', 0, 1, 1, 1, 10, 10, 10),
    ('acquisition_month', '2024-01', 1, 1, 1, 0, 0, 0, 10),
    ('acquisition_month', '2024-01', 2, 1, 0, null, null, null, null),
    ('acquisition_month', '2024-02', 0, 1, 1, 1, 12.5, 12.5, 12.5),
    ('acquisition_month', '2024-02', 1, 1, 0, null, null, null, null),
    ('acquisition_month', '2024-03', 0, 1, 0, null, null, null, null)
) as cells(
    segment, segment_value, tenure_month, acquired_customer_count, observed_customer_count,
    survivor_count, net_revenue, survivor_net_revenue,
    cumulative_net_revenue_per_acquired_customer
);
insert into customer_powers by name
select
    *, 'USD' as currency, 'words' as interaction_note, 'words' as influence_note,
    round((purchase_recency_score + purchase_frequency_score + purchase_monetary_score) / 3, 2)
        as purchase_power
from (values
    ('a', 86, 33.33, 1, 66.67, 10, 33.33),
    ('b', 11, 66.67, 2, 100, 30, 100),
    ('c', 6, 100, 1, 66.67, 20, 66.67),
    ('p', null, 0, 0, 0, 0, 0)
) as powers(
    customer_id, hiatus_days, purchase_recency_score, purchase_days_trailing_365d,
    purchase_frequency_score, net_revenue_trailing_365d, purchase_monetary_score
);
update driver_correlations
set customer_count = 200, rank_correlation = .2, p_value = .004512, q_value = .006768,
    direction = 'positive', is_beyond_chance = true, finding = 'words'
where feature = 'first_basket_value';
update driver_correlations
set customer_count = 200, level_customer_count = 60, rank_correlation = -.1, p_value = .158813,
    q_value = .158813, direction = 'negative', is_beyond_chance = false, finding = 'words',
    feature_level = 'tea'
where feature = 'first_category' and outcome = 'repeat_purchase';
update spend_comparisons
set base_customer_count = 3 where comparison = 'client_to_first_purchase';
insert into winback_candidates values
    (1, 'b', 'high', 'alarm', null, 11, 30, 'USD', 'high tier'),
    (2, 'a', 'low', 'lost', 55, 86, 10, 'USD', 'low tier');
update score_versions set
    is_published = model <> 'hiatus_rule', parameters = '{}', log_likelihood = -10,
    log_likelihood_gain = 8, customer_count = 3, repeat_customer_count = 1,
    data_from = '2024-01-05'
where model <> 'hiatus_rule';
insert into customer_scores by name
select
    customer_id, .5 as probability_alive, .4 as return_probability_90d,
    .1 as expected_purchases_30d, .2 as expected_purchases_90d, .8 as expected_purchases_365d,
    date '2024-05-01' as expected_next_purchase_on, 10 as expected_order_value,
    2.4 as lifetime_value_365d, 0 as lifetime_value_365d_low, 9 as lifetime_value_365d_high,
    .6 * value_at_stake as revenue_at_risk, 'USD' as currency
from customers
where purchase_day_count > 0;
insert into value_forecasts by name
select
    segment, value as segment_value, if(value = 'all', 3, 1) as customer_count, 'USD' as currency,
    2.4 * customer_count as lifetime_value_365d, 0 as lifetime_value_365d_low,
    9 * customer_count as lifetime_value_365d_high
from (values
    ('all', 'all'), ('value_tier', 'high'), ('value_tier', 'middle'), ('value_tier', 'low'),
    ('lifecycle_stage', 'lost'), ('lifecycle_stage', 'alarm'), ('lifecycle_stage', 'new'),
    ('acquisition_month', '2024-01-01'), ('acquisition_month', '2024-02-01'),
    ('acquisition_month', '2024-03-01')
) as segments(segment, value);
insert into model_quality by name
select
    *, 90 as horizon_days, date '2024-01-01' as cutoff_on, 'judging' as purpose,
    2 as customer_count, 2 as actual_count, 1 as returned_count
from (values
    ('mbg_nbd', 1.5, -.25, .5, .6, 1.2, .2, .8, -.05, -.1, -.01, -.1, -.2, -.05),
    ('hiatus_rule', 2, 0, .6, .7, 1, .25, .7, 0, 0, 0, 0, 0, 0)
) as measures(
    model, predicted_count, bias, mae, rmse, predicted_returned_count, brier, auc,
    brier_difference, brier_difference_low, brier_difference_high,
    rmse_difference, rmse_difference_low, rmse_difference_high
);
insert into model_calibration by name
select
    90 as horizon_days, date '2024-01-01' as cutoff_on, model, decile, 1 as customer_count,
    decile / 10 as predicted_rate, 1 as actual_rate
from (values ('mbg_nbd', 3), ('mbg_nbd', 8), ('hiatus_rule', 3), ('hiatus_rule', 8))
    as tenths(model, decile);
"""


def make(file: Path, sql: str) -> Path:
    """Make a file, or change the one that is there."""
    if not file.exists():
        file.write_bytes(built(sql))
        return file
    with duckdb.connect(str(file)) as connection:
        connection.execute(sql)
    return file


@cache
def built(sql: str) -> bytes:
    """Return the file that the SQL makes, which takes longer than most tests of it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "built.duckdb"
        with duckdb.connect(str(file)) as connection:
            connection.execute(sql)
        return file.read_bytes()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return make(tmp_path / "warehouse.duckdb", WAREHOUSE + LINES)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make(tmp_path / "winback.duckdb", RELEASE + PUBLISHED)


def judge_raw(table: str, warehouse: Path) -> suites.TableVerdict:
    (verdict,) = suites.validate("raw", [table], warehouse, "raw")
    return verdict


def judge_release(table: str, release: Path, warehouse: Path) -> suites.TableVerdict:
    (verdict,) = suites.validate("release", [table], release, "main", {"warehouse": warehouse})
    return verdict


def failed(verdict: suites.TableVerdict) -> dict[str, suites.Outcome]:
    return {one.expectation: one for one in verdict.outcomes if not one.is_passed}


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", suites.suite_tables("raw"))
def test_good_raw_tables_pass(table: str, rows: str, tmp_path: Path) -> None:
    sql = WAREHOUSE + LINES if rows == "with rows" else WAREHOUSE
    verdict = judge_raw(table, make(tmp_path / "warehouse.duckdb", sql))
    assert failed(verdict) == {}
    assert verdict.is_passed


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", suites.suite_tables("release"))
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
    ("customers", "update customers set lifecycle_stage = 'gone' where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set rule_id = null where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_rule_id = 'repeat_purchase_days'"
     " where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set contact_class = null where customer_id = 'c'",
     "stages_total_and_exclusive", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_stage = 'repeat',"
     " loyalty_rule_id = 'repeat_purchase_days' where customer_id = 'c'",
     "axes_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set loyalty_stage = 'client',"
     " loyalty_rule_id = 'client_many_purchase_days', contact_class = 'high_repurchase',"
     " contact_rule_id = 'high_repurchase_days' where customer_id = 'b'",
     "axes_agree", "1 of 4 unexpected", "b"),
    ("customers", "update customers set hiatus_days = 7 where customer_id = 'c'",
     "purchases_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set known_on = '2024-03-26' where customer_id = 'c'",
     "purchases_agree", "1 of 4 unexpected", "c"),
    ("customers", "update customers set days_until_lost = null where customer_id = 'c'",
     "lost_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set lost_on = '2024-04-01', lost_threshold_days = 86"
     " where customer_id = 'a'",
     "lost_as_defined", "1 of 4 unexpected", "a"),
    ("customers", "update customers set lost_threshold_days = 31 where customer_id = 'b'",
     "silence_as_long_as_allowed", "1 of 4 unexpected", "b"),
    ("customers", "update customers set lost_threshold_days = null where customer_id = 'b'",
     "silence_as_long_as_allowed", "1 of 4 unexpected", "b"),
    ("customers", "update customers set is_won_back = false where customer_id = 'b'",
     "losses_as_in_episodes", "1 of 4 unexpected", "b"),
    ("customers", "delete from lost_episodes where customer_id = 'a'",
     "losses_as_in_episodes", "1 of 4 unexpected", "a"),
    ("customers", "update customers set net_revenue = 20.01 where customer_id = 'c'",
     "net_revenue_reconciles",
     "customers 60.01 + without customer 5.00 + excluded 2.00 = 67.01", None),
    ("customers", "update customers set value_tier = null where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set value_at_stake = 0 where customer_id = 'c'",
     "tiers_as_defined", "1 of 4 unexpected", "c"),
    ("customers", "update customers set net_revenue_trailing_365d = null",
     "no_column_empty", "1 of 27 columns empty", "net_revenue_trailing_365d"),
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
    ("customer_stage_history", "update customer_stage_history set value_at_stake = null"
     " where valid_from = '2024-01-16'",
     "values_present", "1 of 21 unexpected", "a:lifecycle_stage:2024-01-16"),
    ("stage_transitions", "insert into stage_transitions values"
     " ('2024-03-01', 'loyalty_stage', 'first_time', 'client', 0, 0, 'USD')",
     "moves_well_formed", "1 of 16 unexpected", "2024-03-01:loyalty_stage:first_time:client"),
    ("stage_transitions", "update stage_transitions set customer_count = 2 where to_stage = 'new'",
     "moves_reconcile", "1 of 10 unexpected", "lifecycle_stage new"),
    ("stage_transitions", "update stage_transitions set month = '2024-03-01'"
     " where from_stage = 'unknown' and to_stage = 'alarm'",
     "nobody_leaves_before_coming", "1 of 16 unexpected", "2024-02-01 lifecycle_stage alarm"),
    ("alerts", "update alerts set cleared_on = '2024-02-09' where outcome = 'recovered'",
     "dates_in_order", "1 of 5 unexpected", "b:basket_narrowing:2024-02-10"),
    ("alerts", "update alerts set raised_on = '2024-03-11' where raised_on = '2024-03-31'",
     "one_alert_at_a_time", "1 of 5 unexpected", "b:overdue:2024-03-11"),
    ("alerts", "update alerts set observed = 20 where customer_id = 'a'",
     "figures_agree", "1 of 5 unexpected", "a:overdue:2024-01-26"),
    ("alerts", "update alerts set direction = 'up' where alert_type = 'basket_narrowing'",
     "figures_agree", "1 of 5 unexpected", "b:basket_narrowing:2024-02-10"),
    ("alerts", "update alerts set outcome = 'recovered' where customer_id = 'a'",
     "outcomes_agree", "1 of 5 unexpected", "a:overdue:2024-01-26"),
    ("alerts", "update customers set lifecycle_stage = 'lost' where customer_id = 'c'",
     "outcomes_agree", "1 of 5 unexpected", "c:return_share_rising:2024-03-28"),
    ("alerts", "delete from alerts where raised_on = '2024-03-31'",
     "overdue_are_the_alarmed", "1 of 1 unexpected", "b"),
    ("alert_quality", "delete from alert_quality where alert_type = 'overdue'",
     "five_types_once", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set base_rate = 1.5",
     "rates_within_bounds", "5 of 5 unexpected", "basket_narrowing"),
    ("alert_quality", "update alert_quality set precision_rate = .5 where alert_type = 'overdue'",
     "rates_within_bounds", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set horizon_months = 4 where alert_type = 'overdue'",
     "evaluated_at_month_start", "1 of 5 unexpected", "overdue"),
    ("alert_quality", "update alert_quality set is_alarming = not is_alarming",
     "alarming_as_defined", "5 of 5 unexpected", "basket_narrowing"),
    ("alert_quality", "update alert_quality set alert_count = 1, precision_rate = 1"
     " where alert_type = 'overdue'",
     "counts_as_in_alerts", "1 of 5 unexpected", "overdue 1, in alerts 0"),
    ("alert_quality", "insert into alerts by name"
     " select 'overdue' as alert_type, date '2023-10-01' as raised_on from range(30);"
     "update alert_quality set base_rate = .2;"
     "update alert_quality set alert_count = 30, precision_rate = .1 where alert_type = 'overdue'",
     "overdue_not_below_chance", "1 of 5 unexpected", "overdue"),
    ("churn_rates", "update churn_rates set is_complete_month = false"
     " where definition_id = 'fixed_60' and month = '2024-02-01' and segment = 'all'",
     "cells_well_formed", "1 of 14 unexpected", "fixed_60:2024-02-01:all:all"),
    ("churn_rates", "update churn_rates set churn_rate = .4"
     " where churn_rate = .5 and segment = 'all'",
     "rates_consistent", "1 of 14 unexpected", "fixed_60:2024-03-01:all:all"),
    ("churn_rates", "update churn_rates set annualised_churn_rate = .9"
     " where churn_rate = .5 and segment = 'all'",
     "rates_consistent", "1 of 14 unexpected", "fixed_60:2024-03-01:all:all"),
    ("churn_rates", "update churn_rates set lost_value = 11"
     " where definition_id = 'fixed_60' and lost_value = 10 and segment = 'value_tier'",
     "segments_add_up", "1 of 9 unexpected", "fixed_60 2024-03-01 value_tier"),
    ("churn_rates", "update churn_rates set base_customer_count = 2, churn_rate = .5,"
     " annualised_churn_rate = .999714 where segment = 'region'",
     "segments_add_up", "1 of 9 unexpected", "active 2024-03-01 region"),
    ("churn_rates", "delete from stage_transitions where to_stage = 'vulnerable'",
     "bases_are_the_active", "1 of 2 unexpected", "2024-03-01"),
    ("churn_rates", "delete from lost_customers_by_month where lost_month = '2024-02-01'",
     "losses_are_those_of_the_month", "1 of 4 unexpected", "2024-02-01 low"),
    ("lost_episodes", "update lost_episodes set episode_number = 2 where customer_id = 'b'",
     "episodes_in_order", "1 of 2 unexpected", "b:2"),
    ("lost_episodes", "insert into lost_episodes by name"
     " select * replace (2 as episode_number) from lost_episodes where customer_id = 'b'",
     "episodes_in_order", "2 of 3 unexpected", "b:1"),
    ("lost_episodes", "update lost_episodes set lost_days = 56 where customer_id = 'a'",
     "dates_in_order", "1 of 2 unexpected", "a:1"),
    ("lost_episodes", "update lost_episodes set lost_on = '2024-02-06', lost_days = 54"
     " where customer_id = 'a'",
     "open_episodes_are_the_lost", "1 of 1 unexpected", "a"),
    ("lost_episodes", "update lost_episodes set spend_ratio = 1.4 where customer_id = 'b'",
     "values_after_agree", "1 of 2 unexpected", "b:1"),
    ("lost_episodes", "update lost_episodes set value_tier = null where customer_id = 'a'",
     "tiers_as_defined", "1 of 2 unexpected", "a:1"),
    ("churn_definitions", "update churn_definitions set is_in_force = false",
     "one_in_force", "0 in force", "active 0001-01-01"),
    ("churn_definitions", "insert into churn_definitions by name select * replace"
     " (date '2024-03-31' as valid_from, false as is_in_force) from churn_definitions"
     " where definition_id = 'active'",
     "one_in_force", "1 in force", "active 0001-01-01"),
    ("churn_definitions", "update churn_definitions set basis = 'whim'"
     " where definition_id = 'fixed_60'",
     "versions_distinct", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "update churn_definitions set minimum_lost_days = 0"
     " where definition_id = 'cadence_3'",
     "thresholds_positive", "1 of 6 unexpected", "cadence_3:0001-01-01"),
    ("churn_definitions", "update churn_definitions set repeat_lost_days = null"
     " where definition_id = 'fixed_60'",
     "thresholds_positive", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "update churn_definitions set description_zh = ''"
     " where definition_id = 'fixed_60'",
     "descriptions_present", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "delete from churn_definitions where method = 'nobody_lost'",
     "yardsticks_present", "1 of 2 yardsticks", None),
    ("churn_definition_backtest", "update churn_definition_backtest set horizon_days = 180",
     "outcomes_known", "6 of 6 unexpected", "active:180:2024-01-01"),
    ("churn_definition_backtest", "delete from churn_definition_backtest"
     " where definition_id = 'fixed_60'",
     "same_customers_for_all", "1 of 1 unexpected", "2024-01-01 90"),
    ("churn_definition_backtest", "update churn_definition_backtest set missed_count = 3,"
     " missed_rate = .5, accuracy = .6, balanced_accuracy = .625 where definition_id = 'active'",
     "counts_add_up", "1 of 6 unexpected", "active:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set balanced_accuracy = .71"
     " where definition_id = 'active'",
     "rates_are_quotients", "1 of 6 unexpected", "active:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set false_lost_rate = 0"
     " where definition_id = 'nobody_lost'",
     "rates_are_quotients", "1 of 6 unexpected", "nobody_lost:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set definition_id ="
     " if(definition_id = 'nobody_lost', 'cadence_3', 'nobody_lost')"
     " where definition_id in ('nobody_lost', 'cadence_3')",
     "yardsticks_hold", "1 of 6 unexpected", "nobody_lost:90:2024-01-01"),
    ("churn_definition_backtest", "update churn_definition_backtest set repeat_lost_days = null"
     " where definition_id = 'fixed_60'",
     "thresholds_positive", "1 of 6 unexpected", "fixed_60:90:2024-01-01"),
    ("churn_definition_summary", "update churn_definition_summary set cutoff_count = 2"
     " where definition_id = 'active'",
     "pooled_from_backtest", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set accuracy = .71"
     " where definition_id = 'active'",
     "rates_are_quotients", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_active = false",
     "active_marked", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_eligible = false"
     " where definition_id = 'active'",
     "eligible_as_defined", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_eligible = true"
     " where definition_id = 'nobody_lost'",
     "eligible_as_defined", "1 of 6 unexpected", "90:nobody_lost"),
    ("churn_definition_summary", "update churn_definition_summary set is_best = true,"
     " difference_low = 0, difference_high = 0 where definition_id = 'active'",
     "best_is_best", "6 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set difference_from_best = -.1"
     " where definition_id = 'active'",
     "differences_agree", "1 of 6 unexpected", "90:active"),
    ("churn_definition_summary", "update churn_definition_summary set is_worse_than_best = true"
     " where definition_id = 'active'",
     "differences_agree", "1 of 6 unexpected", "90:active"),
    ("customer_scores", "delete from customer_scores where customer_id = 'b'",
     "one_row_per_buyer", "1 of 3 unexpected", "b"),
    ("customer_scores", "update customer_scores set return_probability_90d = 1.2,"
     " revenue_at_risk = -2 where customer_id = 'a'",
     "scores_within_bounds", "1 of 3 unexpected", "a"),
    ("customer_scores", "update customer_scores set expected_next_purchase_on = '2024-03-31'"
     " where customer_id = 'a'",
     "scores_within_bounds", "1 of 3 unexpected", "a"),
    ("customer_scores", "update customer_scores set revenue_at_risk = 11 where customer_id = 'c'",
     "revenue_at_risk_as_defined", "1 of 3 unexpected", "c"),
    ("customer_scores", "update customer_scores set probability_alive = null"
     " where customer_id = 'c'",
     "published_or_explained", "1 of 15 unexpected", "c probability_alive"),
    ("customer_scores", "update score_versions set is_published = false"
     " where score = 'expected_order_value'",
     "published_or_explained", "6 of 15 unexpected", "a expected_order_value"),
    ("customer_scores", "update score_versions set model = 'hiatus_rule'"
     " where score = 'expected_purchases'",
     "published_or_explained", "3 of 15 unexpected", "a note"),
    ("value_forecasts", "update value_forecasts set lifetime_value_365d_low = 30"
     " where segment = 'all'",
     "ends_in_order", "1 of 10 unexpected", "all:all"),
    ("value_forecasts", "update value_forecasts set lifetime_value_365d = 9 where segment = 'all'",
     "segments_add_up", "1 of 4 unexpected", "all"),
    ("value_forecasts", "delete from value_forecasts where segment_value = 'high'",
     "segments_add_up", "1 of 4 unexpected", "value_tier"),
    ("score_versions", "update score_versions set is_published = true",
     "one_publisher_a_score", "1 of 4 unexpected",
     "return_probability_90d"),
    ("score_versions", "update score_versions set score = 'expected_purchases'"
     " where score = 'probability_alive'",
     "one_publisher_a_score", "2 of 4 unexpected", "expected_purchases"),
    ("score_versions", "update score_versions set log_likelihood_gain = 5.9",
     "published_as_allowed", "1 of 5 unexpected", "probability_alive:mbg_nbd"),
    ("score_versions", "update score_versions set data_to = '2024-04-01'"
     " where model = 'gamma_gamma'",
     "published_as_allowed", "1 of 5 unexpected", "expected_order_value:gamma_gamma"),
    ("score_versions", "update model_quality set rmse_difference_high = .001"
     " where model = 'mbg_nbd'",
     "published_has_passed", "1 of 3 unexpected", "expected_purchases"),
    ("model_quality", "update model_quality set purpose = 'choosing' where model = 'hiatus_rule'",
     "cutoffs_as_defined", "1 of 2 unexpected", "90:2024-01-01:hiatus_rule"),
    ("model_quality", "update model_quality set rmse = .4, rmse_difference = -.3"
     " where model = 'mbg_nbd'",
     "measures_within_bounds", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set actual_count = 3 where model = 'mbg_nbd'",
     "same_customers_for_all", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set brier_difference = -.06 where model = 'mbg_nbd'",
     "differences_from_the_plain_rule", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_quality", "update model_quality set bias = .6 where model = 'mbg_nbd'",
     "published_forecast_is_unbiased", "1 of 2 unexpected", "90:2024-01-01:mbg_nbd"),
    ("model_calibration", "update model_calibration set predicted_rate = .2"
     " where model = 'mbg_nbd' and decile = 8",
     "rates_within_bounds", "1 of 4 unexpected", "90:2024-01-01:mbg_nbd:8"),
    ("model_calibration", "delete from model_calibration where model = 'mbg_nbd' and decile = 8",
     "everybody_in_one_tenth", "1 of 2 unexpected", "90 days mbg_nbd"),
    ("stage_rules", "delete from stage_rules where stage = 'advocate';"
     "update stage_rules set rule_order = rule_order - 1"
     " where axis = 'loyalty_stage' and rule_order > 2",
     "stages_complete", "1 of 16 unexpected", "loyalty_stage advocate"),
    ("stage_rules", "update stage_rules set rule_order = 9 where rule_id = 'never_contacted_yet'",
     "rules_in_order", "1 of 20 unexpected", "contact_class:never_contacted_yet"),
    ("stage_rules", "update stage_rules set label = 'Gone' where rule_id = 'lost_season_passed'",
     "labels_agree", "2 of 20 unexpected", "lifecycle_stage:lost_over_threshold"),
    ("stage_rules", "update stage_rules set label_zh = '常青客户' where stage = 'new'",
     "labels_agree", "2 of 20 unexpected", "lifecycle_stage:evergreen_steady_rhythm"),
    ("stage_rules", "update stage_rules set rule_text_zh = ' ' where stage = 'new'",
     "texts_present", "1 of 20 unexpected", "lifecycle_stage:new_first_purchase"),
    ("churn_presets", "update churn_presets set industry = 'gym' where industry = 'saas'",
     "versions_distinct", "2 of 17 unexpected", "gym:2000-01-01"),
    ("churn_presets", "update churn_presets set industry = 'any' where industry = 'default'",
     "default_present", "0 rows of industry default", None),
    ("churn_presets", "update churn_presets set quantile = .9 where industry = 'gym'",
     "parameters_as_method_needs", "1 of 17 unexpected", "gym:2000-01-01"),
    ("churn_presets", "update churn_presets set description_zh = null where industry = 'gym'",
     "descriptions_present", "1 of 17 unexpected", "gym:2000-01-01"),
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
    ("cohort_retention", "update cohort_retention set not_lost_rate = .5"
     " where acquisition_month = '2024-02-01' and months_since = 1",
     "rates_consistent", "1 of 6 unexpected", "2024-02-01:1"),
    ("cohort_retention", "update cohort_retention set still_buying_customer_count = 1,"
     " still_buying_rate = 1 where acquisition_month = '2024-01-01' and months_since = 2",
     "still_buying_falls", "1 of 6 unexpected", "2024-01-01:2"),
    ("cohort_retention", "update cohort_retention"
     " set not_lost_customer_count = 0, not_lost_rate = 0"
     " where acquisition_month = '2024-02-01' and months_since = 0",
     "buyers_not_lost", "1 of 6 unexpected", "2024-02-01:0"),
    ("cohort_retention", "update customers set lifecycle_stage = 'lost' where customer_id = 'c'",
     "not_lost_are_the_customers_now", "1 of 3 unexpected", "2024-03-01"),
    ("cohort_retention", "update cohort_retention set cumulative_net_revenue_per_customer = 10.01"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "cumulative_revenue_adds_up", "1 of 6 unexpected", "2024-01-01:1"),
    ("cohort_retention", "update cohort_retention set is_mature = false"
     " where acquisition_month = '2024-01-01' and months_since = 1",
     "maturity_as_defined", "1 of 6 unexpected", "2024-01-01:1"),
    ("cohort_retention", "insert into customers by name"
     " select * replace ('z' as customer_id) from customers where customer_id = 'a'",
     "every_buyer_in_one_cohort", "3 customers in cohorts", None),
    ("lost_customers_by_month", "delete from lost_customers_by_month"
     " where lost_month = '2024-03-01' and value_tier = 'low'",
     "cells_complete", "1 of 2 unexpected", "2024-03-01"),
    ("lost_customers_by_month", "insert into lost_customers_by_month by name select * replace"
     " (lost_month + interval 2 month as lost_month) from lost_customers_by_month"
     " where lost_customer_count = 0 and lost_month = '2024-03-01'",
     "cells_complete", "1 of 3 unexpected", "2024-05-01"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set recovered_within_30d_count = 1 where lost_customer_count = 1 and value_tier = 'low';"
     "update lost_episodes set is_open = false, lost_days = 8 where customer_id = 'a'",
     "recovered_within_lost", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set recovered_within_60d_count = 0 where lost_customer_count = 1 and value_tier = 'low'",
     "immature_is_unknown", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "update lost_customers_by_month"
     " set recovered_within_30d_count = null where lost_customer_count = 1 and value_tier = 'low'",
     "immature_is_unknown", "1 of 6 unexpected", "2024-02-01:low"),
    ("lost_customers_by_month", "delete from lost_episodes where customer_id = 'b'",
     "losses_as_in_episodes", "1 of 6 unexpected", "2024-03-01:high"),
    ("lost_customers_by_month",
     "update customers set lifecycle_stage = 'alarm' where customer_id = 'a'",
     "losses_reconcile", "1 lost and not recovered", None),
    ("customer_values", "delete from customer_values where customer_id = 'a'"
     " and period = 'trailing_90d'",
     "periods_complete", "1 of 4 unexpected", "a"),
    ("customer_values", "update customer_values set period_order = 3 where customer_id = 'p'"
     " and period = 'lifetime'",
     "periods_complete", "1 of 4 unexpected", "p"),
    ("customer_values", "update customer_values set net_revenue = 9 where customer_id = 'a'"
     " and period = 'last_active_year'",
     "sums_as_in_customers", "1 of 16 unexpected", "a:last_active_year"),
    ("customer_values", "update customer_values set average_order_value = 14"
     " where customer_id = 'b' and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "b:lifetime"),
    ("customer_values", "update customer_values set discount_amount = 10 where customer_id = 'a'"
     " and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set discount_amount = null, discount_share = null"
     " where customer_id = 'a' and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set return_share = null where customer_id = 'a'"
     " and period = 'lifetime'",
     "shares_agree", "1 of 16 unexpected", "a:lifetime"),
    ("customer_values", "update customer_values set order_count = 1, average_order_value = 30"
     " where customer_id = 'b'",
     "orders_and_days_agree", "4 of 16 unexpected", "b:last_active_year"),
    ("customer_values", "update customer_values set order_count = 3, average_order_value = 10"
     " where customer_id = 'b' and period = 'trailing_90d'",
     "periods_within_each_other", "1 of 4 unexpected", "b"),
    ("tier_versions", "delete from tier_versions where value_tier = 'low';"
     "delete from customers where value_tier = 'low'",
     "tiers_complete", "1 of 3 unexpected", "1 low"),
    ("tier_versions", "update tier_versions set is_in_force = false",
     "one_in_force", "1 of 1 unexpected", "1"),
    ("tier_versions", "update tier_versions set valid_to = '2024-03-31'",
     "one_in_force", "1 of 1 unexpected", "1"),
    ("tier_versions", "update tier_versions set cutoff_amount = 31 where value_tier = 'middle'",
     "cutoffs_in_order", "1 of 3 unexpected", "1:middle"),
    ("tier_versions", "update tier_versions set method = 'cutoff'",
     "cutoffs_in_order", "2 of 3 unexpected", "1:high"),
    ("tier_versions", "update tier_versions set boundary = 1 where value_tier = 'middle'",
     "cutoffs_in_order", "1 of 3 unexpected", "1:middle"),
    ("tier_versions", "update tier_versions set value_at_stake = 29 where value_tier = 'high'",
     "tiers_as_in_customers", "1 of 3 unexpected", "1 high"),
    ("tier_versions", "update customers set value_tier = 'low' where customer_id = 'b'",
     "tiers_as_in_customers", "2 of 3 unexpected", "1 high"),
    ("tier_versions", "update tier_versions set label_zh = '' where value_tier = 'high'",
     "labels_present", "1 of 3 unexpected", "1:high"),
    ("value_tier_movements", "insert into value_tier_movements by name"
     " from value_tier_movements where month = '2024-03-01' and to_tier = 'middle';"
     "insert into customers by name from customers where value_tier = 'middle'",
     "movements_well_formed", "2 of 7 unexpected", "2024-03-01:none:middle"),
    ("value_tier_movements", "update value_tier_movements set to_tier = 'high'"
     " where month = '2024-01-01'",
     "movements_chain", "2 of 4 unexpected", "2024-02-01 high"),
    ("value_tier_movements", "update value_tier_movements set to_tier = 'middle'"
     " where month = '2024-03-01' and from_tier = 'low'",
     "movements_end_in_customers", "2 of 3 unexpected", "low"),
    ("customer_rfm", "update customer_rfm set monetary = 29 where customer_id = 'b'",
     "buyers_as_in_customers", "1 of 3 unexpected", "b"),
    ("customer_rfm", "insert into customers by name select * replace ('d' as customer_id)"
     " from customers where customer_id = 'c'",
     "buyers_as_in_customers", "1 of 4 unexpected", "d"),
    ("customer_rfm", "update customer_rfm set frequency_score = 2, fm_score = 2,"
     " rfm_code = '412' where customer_id = 'c'",
     "scores_respect_ties, groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("customer_rfm", "update customer_rfm set rfm_group = 'lost' where customer_id = 'c'",
     "groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("customer_rfm", "update customer_rfm set rfm_code = '111' where customer_id = 'c'",
     "groups_as_in_rfm_groups", "1 of 3 unexpected", "c"),
    ("rfm_groups", "delete from rfm_groups where recency_score = 3 and fm_score = 1",
     "cells_total_and_exclusive", "1 of 25 unexpected", "3 1"),
    ("rfm_groups", "insert into rfm_groups by name select * replace (0 as fm_score)"
     " from rfm_groups where rfm_group = 'lost'",
     "cells_total_and_exclusive", "1 of 26 unexpected", "1 0"),
    ("rfm_groups", "update rfm_groups set rfm_group = 'lost', label = 'Lost',"
     " label_zh = '流失客户',"
     " suggested_action = (select min(suggested_action) from rfm_groups where rfm_group = 'lost'),"
     " suggested_action_zh = (select min(suggested_action_zh) from rfm_groups"
     " where rfm_group = 'lost') where rfm_group = 'promising'",
     "every_group_reached", "1 of 11 unexpected", "promising"),
    ("rfm_groups", "update rfm_groups set label = 'Lost' where rfm_group = 'promising'",
     "words_agree", "2 of 25 unexpected", "1:1"),
    ("spend_by_tenure", "delete from spend_by_tenure"
     " where segment_value = '2024-02' and tenure_month = 0;"
     "update spend_by_tenure set observed_customer_count = 1, survivor_count = 1,"
     " net_revenue = 10, survivor_net_revenue = 10, net_revenue_per_acquired_customer = 10,"
     " net_revenue_per_survivor = 10, cumulative_net_revenue_per_acquired_customer = 10"
     " where segment = 'all' and tenure_month = 0",
     "cells_complete", "1 of 4 unexpected", "acquisition_month 2024-02"),
    ("spend_by_tenure", "update spend_by_tenure set net_revenue_per_survivor = 0"
     " where segment_value = '2024-01' and tenure_month = 1",
     "immature_is_unknown", "1 of 9 unexpected", "acquisition_month:2024-01:1"),
    ("spend_by_tenure", "update spend_by_tenure set net_revenue = 0, survivor_net_revenue = 0,"
     " net_revenue_per_acquired_customer = 0, cumulative_net_revenue_per_acquired_customer = 0"
     " where segment_value = '2024-03'",
     "immature_is_unknown", "1 of 9 unexpected", "acquisition_month:2024-03:0"),
    ("spend_by_tenure", "update spend_by_tenure set survival_rate = .9"
     " where segment_value = '2024-02' and tenure_month = 0",
     "figures_agree", "1 of 9 unexpected", "acquisition_month:2024-02:0"),
    ("spend_by_tenure", "update spend_by_tenure"
     " set cumulative_net_revenue_per_acquired_customer = 11"
     " where segment_value = '2024-01' and tenure_month = 0",
     "figures_agree", "1 of 9 unexpected", "acquisition_month:2024-01:0"),
    ("spend_by_tenure", "update spend_by_tenure set survivor_count = 1, survival_rate = .5,"
     " net_revenue_per_survivor = 22.5 where segment = 'all' and tenure_month = 0",
     "months_add_up", "1 of 3 unexpected", "0 acquisition_month"),
    ("spend_by_tenure", "update customers set first_purchase_on = '2024-01-03'"
     " where customer_id = 'b'",
     "observed_as_in_customers", "5 of 6 unexpected", "2024-01 0"),
    ("spend_comparisons", "delete from spend_comparisons where comparison like 'client%'",
     "comparisons_complete", "2 comparisons", None),
    ("spend_comparisons", "update spend_comparisons set ratio = 2, note = null"
     " where comparison like 'client%'",
     "ratios_consistent", "1 of 3 unexpected", "client_to_first_purchase"),
    ("spend_comparisons", "update customers set contact_class = 'high_repurchase'"
     " where customer_id = 'a'",
     "customers_as_elsewhere", "1 of 3 unexpected", "client_to_first_purchase"),
    ("customer_powers", "delete from customer_powers where customer_id = 'p'",
     "one_row_per_customer", "1 of 4 unexpected", "p"),
    ("customer_powers", "update customer_powers set purchase_recency_score = 100.01"
     " where customer_id = 'c'",
     "scores_within_bounds", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set purchase_power = 77.8 where customer_id = 'c'",
     "powers_are_means", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set influence_note = null where customer_id = 'c'",
     "powers_are_means", "1 of 4 unexpected", "c"),
    ("customer_powers", "update customer_powers set purchase_frequency_score = 66.68,"
     " purchase_power = 44.45 where customer_id = 'a'",
     "equal_values_share_a_score", "1 of 4 unexpected", "a"),
    ("customer_powers", "update customer_powers"
     " set net_revenue_trailing_365d = 20.01 where customer_id = 'c'",
     "values_as_in_customers", "1 of 4 unexpected", "c"),
    ("driver_correlations", "delete from driver_correlations"
     " where feature = 'first_channel' and outcome = 'repeat_purchase'",
     "pairs_complete", "1 of 14 unexpected", "repeat_purchase first_channel"),
    ("driver_correlations", "update driver_correlations set direction = 'positive'"
     " where feature_level = 'tea'",
     "figures_agree", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set finding = 'words'"
     " where feature = 'first_channel'",
     "figures_agree", "2 of 14 unexpected", "later_net_revenue:first_channel"),
    ("driver_correlations", "update driver_correlations set customer_count = 99"
     " where feature = 'first_basket_value'",
     "enough_customers", "2 of 14 unexpected", "later_net_revenue:first_basket_value"),
    ("driver_correlations", "update driver_correlations set level_customer_count = 151"
     " where feature_level = 'tea'",
     "enough_customers", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set q_value = .2"
     " where feature_level = 'tea'",
     "discoveries_controlled", "1 of 3 unexpected", "repeat_purchase:first_category:tea"),
    ("driver_correlations", "update driver_correlations set relation = 'cause'"
     " where feature_level = 'tea'",
     "only_associations", "1 of 14 unexpected", "repeat_purchase:first_category:tea"),
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
    assert list(faults) == expectation.split(", ")
    for outcome in faults.values():
        assert outcome.observed_value == observed
        assert outcome.example_ids[:1] == ((example,) if example else ())
        assert outcome.unexpected_count >= 1


@pytest.mark.parametrize("table", suites.suite_tables("release"))
def test_added_or_missing_column_is_named(table: str, release: Path, warehouse: Path) -> None:
    make(release, f"alter table {table} add email varchar default 'x'")
    faults = failed(judge_release(table, release, warehouse))
    assert list(faults) == ["columns_match_contract"]
    assert faults["columns_match_contract"].observed_value == "email VARCHAR"


@pytest.mark.parametrize(
    "table",
    [one for one in suites.suite_tables("release") if "currency" in contract("release", one)],
)
def test_foreign_currency_is_named(table: str, release: Path, warehouse: Path) -> None:
    make(release, f"update {table} set currency = 'EUR'")
    faults = failed(judge_release(table, release, warehouse))
    assert list(faults) == ["currency_as_declared"]
    outcome = faults["currency_as_declared"]
    assert outcome.unexpected_count == outcome.evaluated_count > 0


def test_every_release_expectation_is_shown_to_fail() -> None:
    shown = {(fault[0], one) for fault in RELEASE_FAULTS for one in fault[2].split(", ")}
    # These have tests of their own.
    shown |= {
        ("customers", "customer_ids_present"),
        ("customers", "customer_ids_unique"),
        ("customers", "every_known_customer_present"),
        ("customers", "high_tier_share_plausible"),
        ("customers", "stage_shares_stable"),
        ("winback_candidates", "customer_ids_unique"),
    }
    for table in suites.suite_tables("release"):
        shown.add((table, "columns_match_contract"))
        if "currency" in contract("release", table):
            shown.add((table, "currency_as_declared"))
    assert shown == {
        (table, one["meta"]["id"])
        for table in suites.suite_tables("release")
        for one in suite("release", table)["expectations"]
    }


def test_row_without_a_customer_is_named(release: Path, warehouse: Path) -> None:
    make(release, "update customers set customer_id = null where customer_id = 'p'")
    faults = failed(judge_release("customers", release, warehouse))
    assert list(faults) == ["customer_ids_present", "every_known_customer_present"]


def test_customer_ranked_twice_is_named(release: Path, warehouse: Path) -> None:
    make(release, "insert into winback_candidates select * replace (3 as rank)"
         " from winback_candidates where rank = 2")  # fmt: skip
    faults = failed(judge_release("winback_candidates", release, warehouse))
    assert list(faults) == ["customer_ids_unique"]


@pytest.mark.parametrize(
    ("basis", "interacted_on", "days_until_lost"),
    [
        ("purchase", "2024-03-30", 20),
        ("both", "2024-03-30", 30),
        ("both", "2024-03-10", 20),
        ("both", None, 20),
        ("interaction", "2024-03-30", 30),
        ("interaction", "2024-03-15", 15),
    ],
)
def test_silence_is_counted_from_what_the_basis_names(
    basis: str, interacted_on: str | None, days_until_lost: int, release: Path, warehouse: Path
) -> None:
    # b bought on 2024-02-10 and last on 2024-03-20.
    make(release, f"""
        update churn_definitions set basis = '{basis}';
        update customers
        set last_interaction_on = nullif('{interacted_on}', 'None')::date,
            days_until_lost = {days_until_lost}
        where customer_id = 'b'
    """)  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}
    make(release, "update customers set days_until_lost = days_until_lost + 1"
         " where customer_id = 'b'")  # fmt: skip
    assert list(failed(judge_release("customers", release, warehouse))) == [
        "silence_as_long_as_allowed"
    ]


def test_purchases_stand_in_where_the_definition_says_so(release: Path, warehouse: Path) -> None:
    make(release, "update churn_definitions set basis = 'interaction'")
    faults = failed(judge_release("customers", release, warehouse))
    assert list(faults) == ["silence_as_long_as_allowed"]
    assert faults["silence_as_long_as_allowed"].example_ids == ("b",)
    make(release, "update churn_definitions"
         " set note = 'the source has no interactions: purchases stand in'")  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}


def test_season_has_no_threshold_in_days(release: Path, warehouse: Path) -> None:
    make(release, """
        update churn_definitions
        set method = 'season', first_time_lost_days = null, repeat_lost_days = null
        where definition_id = 'active';
        update customers set lost_threshold_days = null;
        update customers set rule_id = 'lost_season_passed' where customer_id = 'a'
    """)  # fmt: skip
    assert failed(judge_release("customers", release, warehouse)) == {}
    assert failed(judge_release("churn_definitions", release, warehouse)) == {}
    make(release, "update customers set lost_on = '2024-01-05' where customer_id = 'a'")
    assert list(failed(judge_release("customers", release, warehouse))) == [
        "silence_as_long_as_allowed"
    ]


@pytest.mark.parametrize("days", [29, 30])
def test_months_are_compared_where_no_silence_fits_into_one(
    days: int, release: Path, warehouse: Path
) -> None:
    make(release, f"""
        update churn_definitions set first_time_lost_days = {days}, repeat_lost_days = {days}
        where definition_id = 'active';
        delete from lost_customers_by_month;
        update cohort_retention set not_lost_customer_count = 0, not_lost_rate = 0
        where acquisition_month = '2024-02-01' and months_since = 0
    """)  # fmt: skip
    is_compared = days == 30
    faults = failed(judge_release("churn_rates", release, warehouse))
    assert ("losses_are_those_of_the_month" in faults) == is_compared
    faults = failed(judge_release("cohort_retention", release, warehouse))
    assert ("buyers_not_lost" in faults) == is_compared


def test_file_out_of_order_is_named(release: Path, warehouse: Path) -> None:
    for table, expectation in (
        ("customer_stage_history", "intervals_gapless"),
        ("alerts", "one_alert_at_a_time"),
    ):
        make(release, f"create or replace table {table} as from {table} order by customer_id desc")
        assert expectation in failed(judge_release(table, release, warehouse))


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


def test_zero_may_have_a_margin(release: Path, warehouse: Path) -> None:
    make(release, "update customers set value_at_stake = 0 where customer_id = 'b';"
         "update lost_episodes set value_year_before = 0 where customer_id = 'b'")  # fmt: skip
    for table in ("customers", "lost_episodes"):
        assert "tiers_as_defined" in failed(judge_release(table, release, warehouse))
    make(release, "update tier_versions set measure = 'margin'")
    for table in ("customers", "lost_episodes"):
        assert "tiers_as_defined" not in failed(judge_release(table, release, warehouse))


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
    assert suites.blocked_message(verdict.outcomes) == ""

    make(warehouse, "update raw.loads set rejected_share = .05, rejected_count = 50")
    verdict = judge_raw("loads", warehouse)
    assert not verdict.is_passed
    message = suites.blocked_message(verdict.outcomes)
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
    faulty = suite("raw", "transactions")
    faulty["expectations"][0] |= fault
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "transactions.json").write_text(json.dumps(faulty))
    monkeypatch.setattr(suites, "EXPECTATIONS_DIR", tmp_path)
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
        suites.TableVerdict(one.gate, one.table_name, (), json.loads(json.dumps(one.result)))
        for one in verdicts
    ]
    suites.build_data_docs(verdicts, tmp_path / "docs")
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
    for table in suites.suite_tables(gate):
        assert suite(gate, table)["name"] == f"{gate}.{table}"
        expectations = suite(gate, table)["expectations"]
        ids = [one["meta"]["id"] for one in expectations]
        assert len(ids) == len(set(ids))
        for one in expectations:
            assert one["severity"] in ("critical", "warning")
            assert one["description"].endswith(".")
            assert one["meta"]["mend"].endswith(".")


@pytest.mark.parametrize("table", canonical.TABLES.values(), ids=lambda table: table.name)
def test_raw_suites_know_the_canonical_columns(table: canonical.Table) -> None:
    columns = {one.name: one.sql_type for one in (*table.columns, *canonical.LINEAGE)}
    if table is canonical.TRANSACTIONS:
        columns["amount_original"] = canonical.EXACT_NUMBER
    assert contract("raw", table.name) == columns


def test_release_suites_know_the_published_columns() -> None:
    marts = (DBT_DIR / "models" / "marts").rglob("_*__models.yml")
    columns = {
        model["name"]: {one["name"]: one["data_type"] for one in model["columns"]}
        for file in marts
        for model in yaml.safe_load(file.read_text())["models"]
    }
    seeds = yaml.safe_load((DBT_DIR / "seeds" / "_seeds.yml").read_text())
    columns |= {seed["name"]: seed["config"]["column_types"] for seed in seeds["seeds"]}
    assert {table: contract("release", table) for table in suites.suite_tables("release")} == {
        table: {name: type_.replace(", ", ",").upper() for name, type_ in types.items()}
        for table, types in columns.items()
    }
