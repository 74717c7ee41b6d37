"""What the release gate judges of a small shop, as SQL: a release that passes, and an empty one.

The shop is that of `small_warehouse`.
"""

from support.gate_cases import contract

from dagster_project.gates import suites
from dagster_project.paths import DBT_DIR


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
    *, false as is_chosen, 'words' as reason, 0 as customer_count, 0 as repeat_customer_count,
    date '2024-03-31' as data_to
from (values
    ('repurchase_probability_90d', 'mbg_nbd'), ('repurchase_probability_90d', 'hiatus_rule'),
    ('expected_purchase_days', 'mbg_nbd'), ('probability_alive', 'mbg_nbd'),
    ('expected_order_value', 'gamma_gamma')
) as candidates(score, model);
insert into value_tier_versions by name
select
    1 as version, *, date '0001-01-01' as valid_from, true as is_in_force, 'revenue' as measure,
    'share' as method, 0 as customer_count, 0 as value_at_stake, 0 as margin_at_stake,
    'USD' as currency, 'words' as label, '话' as label_zh
from (values ('high', 1, .2), ('medium', 2, .5), ('low', 3, null))
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
    value as net_revenue_trailing_365d, value as value_at_stake, times_regained > 0 as is_regained,
    case when last_purchase_on is not null then 10 end as expected_gap_days,
    case when last_purchase_on is not null then 30 end as lost_threshold_days
from (values
    ('a', '2024-01-05'::date, '2024-01-05'::date, '2024-01-05'::date, 1, 86, 10, 'low',
        'lost', 'lost_over_threshold', 'first_time', 'first_time_one_purchase_day',
        'bought', 'bought_purchase_days', '2024-02-05'::date, null, 1, 0),
    ('b', '2024-02-10', '2024-02-10', '2024-03-20', 2, 11, 30, 'high',
        'alarm', 'alarm_over_own_rhythm', 'repeat', 'repeat_purchase_days',
        'bought', 'bought_purchase_days', null, 20, 1, 1),
    ('c', '2024-03-25', '2024-03-25', '2024-03-25', 1, 6, 20, 'medium',
        'new', 'new_first_purchase', 'first_time', 'first_time_one_purchase_day',
        'bought', 'bought_purchase_days', null, 25, 0, 0),
    ('p', null, null, null, 0, null, 0, null,
        'prospect', 'prospect_never_bought', 'suspect', 'suspect_no_interaction',
        'never_contacted', 'never_contacted_yet', null, null, 0, 0)
) as rows(
    customer_id, known_on, first_purchase_on, last_purchase_on, purchase_day_count,
    days_since_last_purchase, value, value_tier, lifecycle_stage, lifecycle_rule_id, loyalty_stage,
    loyalty_rule_id, contact_stage, contact_rule_id, lost_on, days_until_lost, times_lost,
    times_regained
);
insert into customer_values by name
select
    customer_id, period, period_order, net_revenue, net_revenue * .3 as margin,
    purchase_day_count as order_count, purchase_day_count, net_revenue as sale_amount,
    0 as discount_amount, 0 as return_amount, 0 as adjustment_amount,
    net_revenue / nullif(purchase_day_count, 0) as average_order_value,
    if(purchase_day_count > 0, 0, null) as discount_share, discount_share as return_share, currency
from (
    select
        *, unnest(['lifetime', 'trailing_365d', 'trailing_90d', 'last_active_year']) as period,
        unnest([1, 2, 3, 4]) as period_order
    from customers
);
update value_tier_versions set customer_count = 1,
    value_at_stake = case value_tier when 'high' then 30 when 'medium' then 20 else 10 end,
    cutoff_amount = case value_tier when 'high' then 30 when 'medium' then 20 end;
insert into value_tier_movements by name
select *, 1 as customer_count, 'USD' as currency, true as is_complete_month
from (values
    ('2024-01-01', 'none', 'low', 10),
    ('2024-02-01', 'low', 'low', 10),
    ('2024-02-01', 'none', 'high', 12.5),
    ('2024-03-01', 'low', 'low', 10),
    ('2024-03-01', 'high', 'high', 30),
    ('2024-03-01', 'none', 'medium', 20)
) as movements(month, from_tier, to_tier, value_at_stake);
insert into customer_rfm by name
select
    *, concat(recency_score, frequency_score, monetary_score) as rfm_code, 'USD' as currency
from (values
    ('a', 86, 1, 10, 1, 1, 1, 1, 'lost'),
    ('b', 11, 2, 30, 2, 4, 4, 4, 'at_risk'),
    ('c', 6, 1, 20, 4, 1, 2, 2, 'potential_loyalists')
) as scored(
    customer_id, days_since_last_purchase, frequency, monetary, recency_score, frequency_score,
    monetary_score, fm_score, rfm_group
);
insert into customer_stage_history by name
select
    customer_id, axis, stage, rule_id, valid_from::date as valid_from, valid_to::date as valid_to,
    valid_to = '2024-03-31' as is_current
from (values
    ('a', 'bought_purchase_days', '2024-01-05', '2024-03-31'),
    ('a', 'new_first_purchase', '2024-01-05', '2024-01-15'),
    ('a', 'vulnerable_no_rhythm', '2024-01-16', '2024-01-25'),
    ('a', 'alarm_over_two_thirds', '2024-01-26', '2024-02-04'),
    ('a', 'lost_over_threshold', '2024-02-05', '2024-03-31'),
    ('a', 'first_time_one_purchase_day', '2024-01-05', '2024-03-31'),
    ('b', 'bought_purchase_days', '2024-02-10', '2024-03-31'),
    ('b', 'new_first_purchase', '2024-02-10', '2024-02-20'),
    ('b', 'vulnerable_no_rhythm', '2024-02-21', '2024-03-01'),
    ('b', 'alarm_over_two_thirds', '2024-03-02', '2024-03-11'),
    ('b', 'lost_over_threshold', '2024-03-12', '2024-03-19'),
    ('b', 'vulnerable_no_rhythm', '2024-03-20', '2024-03-30'),
    ('b', 'alarm_over_own_rhythm', '2024-03-31', '2024-03-31'),
    ('b', 'first_time_one_purchase_day', '2024-02-10', '2024-03-19'),
    ('b', 'repeat_purchase_days', '2024-03-20', '2024-03-31'),
    ('c', 'bought_purchase_days', '2024-03-25', '2024-03-31'),
    ('c', 'new_first_purchase', '2024-03-25', '2024-03-31'),
    ('c', 'first_time_one_purchase_day', '2024-03-25', '2024-03-31'),
    ('p', 'never_contacted_yet', '2024-01-01', '2024-03-31'),
    ('p', 'prospect_never_bought', '2024-01-01', '2024-03-31'),
    ('p', 'suspect_no_interaction', '2024-01-01', '2024-03-31')
) as intervals(customer_id, rule_id, valid_from, valid_to)
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
    ('2024-01-01', 'contact_stage', 'unknown', 'never_contacted'),
    ('2024-01-01', 'contact_stage', 'unknown', 'bought'),
    ('2024-02-01', 'contact_stage', 'unknown', 'bought'),
    ('2024-03-01', 'contact_stage', 'unknown', 'bought')
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
    case when lost_month = '2024-02-01' then 0 end as regained_within_30d_count
from (values
    ('2024-02-01'::date, 'high', 0, 0, 0),
    ('2024-02-01', 'medium', 0, 0, 0),
    ('2024-02-01', 'low', 1, 10, 0),
    ('2024-03-01', 'high', 1, 12.5, 1),
    ('2024-03-01', 'medium', 0, 0, 0),
    ('2024-03-01', 'low', 0, 0, 0)
) as losses(
    lost_month, value_tier, lost_customer_count, value_at_stake, regained_customer_count
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
    value_at_stake
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
    ('2024-01-01', 0, 1, 1, 1, 1, 1, 1, 1, 10, 10, 'USD', true, true),
    ('2024-01-01', 1, 1, 0, 0, 0, 0, 0, 0, 0, 10, 'USD', true, true),
    ('2024-01-01', 2, 1, 0, 0, 0, 0, 0, 0, 0, 10, 'USD', true, true),
    ('2024-02-01', 0, 1, 1, 1, 1, 1, 1, 1, 12.5, 12.5, 'USD', true, false),
    ('2024-02-01', 1, 1, 1, 1, 1, 1, 1, 1, 17.5, 30, 'USD', true, false),
    ('2024-03-01', 0, 1, 1, 1, 1, 1, 1, 1, 20, 20, 'USD', true, false);
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
    customer_id, days_since_last_purchase, purchase_recency_score, purchase_days_trailing_365d,
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
    is_chosen = model <> 'hiatus_rule', parameters = '{}', log_likelihood = -10,
    log_likelihood_gain = 8, customer_count = 3, repeat_customer_count = 1,
    data_from = '2024-01-05'
where model <> 'hiatus_rule';
insert into customer_scores by name
select
    customer_id, .5 as probability_alive, .4 as repurchase_probability_90d,
    .1 as expected_purchase_days_30d, .2 as expected_purchase_days_90d,
    .8 as expected_purchase_days_365d,
    date '2024-05-01' as expected_next_purchase_on, 10 as expected_order_value,
    2.4 as clv_365d, 0 as clv_365d_low, 9 as clv_365d_high,
    .6 * value_at_stake as revenue_at_risk, 'USD' as currency
from customers
where purchase_day_count > 0;
insert into value_forecasts by name
select
    segment, value as segment_value, if(value = 'all', 3, 1) as customer_count, 'USD' as currency,
    2.4 * customer_count as clv_365d, 0 as clv_365d_low,
    9 * customer_count as clv_365d_high
from (values
    ('all', 'all'), ('value_tier', 'high'), ('value_tier', 'medium'), ('value_tier', 'low'),
    ('lifecycle_stage', 'lost'), ('lifecycle_stage', 'alarm'), ('lifecycle_stage', 'new'),
    ('acquisition_month', '2024-01-01'), ('acquisition_month', '2024-02-01'),
    ('acquisition_month', '2024-03-01')
) as segments(segment, value);
insert into model_quality by name
select
    *, 90 as horizon_days, date '2024-01-01' as cutoff_on, 'judging' as purpose,
    2 as customer_count, 2 as actual_count, 1 as repurchased_count
from (values
    ('mbg_nbd', 1.5, -.25, .5, .6, 1.2, .2, .8, -.05, -.1, -.01, -.1, -.2, -.05),
    ('hiatus_rule', 2, 0, .6, .7, 1, .25, .7, 0, 0, 0, 0, 0, 0)
) as measures(
    model, predicted_count, bias, mae, rmse, predicted_repurchased_count, brier, auc,
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
