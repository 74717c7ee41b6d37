{%- set minimum_customers = 100 -%}
{%- set minimum_in_level = 50 -%}

-- Spearman's rank correlation of every feature with every outcome, ties at the mean of their ranks.
-- Ranks are doubled and centred (2 x rank - n - 1), so that all sums are of whole numbers. A level
-- is an indicator against the rest, whose correlation follows from the sum of its customers' ranks.
with features as (

    select * from {{ ref('int_newcomer_features') }}

),

outcomes as (

    select * from {{ ref('int_newcomer_outcomes') }}

),

-- Every feature with every outcome, also those nothing is known about.
pairs as (

    {% for outcome, last_day in driver_outcomes().items() -%}
        {% set outer_last = loop.last %}
        {% for feature, has_levels in driver_features().items() %}
            select
                '{{ feature }}' as feature,
                {{ has_levels }} as has_levels,
                '{{ outcome }}' as outcome,
                {{ last_day }} as last_day
            {{ "union all" if not (loop.last and outer_last) }}
        {% endfor %}
    {% endfor %}

),

watched as (

    select
        outcome,
        count(*) as watched_count
    from outcomes
    group by outcome

),

-- One row a customer, whatever the number of levels.
valued as (

    select
        features.customer_id,
        features.feature,
        outcomes.outcome,
        max(features.feature_value) as feature_value,
        max(outcomes.outcome_value) as outcome_value
    from features
    inner join outcomes on features.customer_id = outcomes.customer_id
    group by features.customer_id, features.feature, outcomes.outcome

),

ranked as (

    select
        customer_id,
        feature,
        outcome,
        2 * rank() over (partition by feature, outcome order by feature_value nulls last)
        + count(*) over (partition by feature, outcome, feature_value)
        - count(*) over (partition by feature, outcome)
        - 2 as feature_rank,
        2 * rank() over (partition by feature, outcome order by outcome_value nulls last)
        + count(*) over (partition by feature, outcome, outcome_value)
        - count(*) over (partition by feature, outcome)
        - 2 as outcome_rank
    from valued

),

summed as (

    select
        feature,
        outcome,
        count(*) as customer_count,
        sum(feature_rank * feature_rank) as feature_squares,
        sum(outcome_rank * outcome_rank) as outcome_squares,
        sum(feature_rank * outcome_rank) as products
    from ranked
    group by feature, outcome

),

levels as (

    select
        features.feature,
        features.feature_level,
        ranked.outcome,
        count(*) as level_customer_count,
        sum(ranked.outcome_rank) as outcome_rank_sum
    from features
    inner join ranked
        on features.customer_id = ranked.customer_id and features.feature = ranked.feature
    where features.feature_level is not null
    group by features.feature, features.feature_level, ranked.outcome

),

levels_known as (

    select distinct
        feature,
        outcome
    from levels

),

checked as (

    select
        pairs.feature,
        pairs.has_levels,
        pairs.outcome,
        coalesce(summed.customer_count, 0) as customer_count,
        summed.feature_squares,
        summed.outcome_squares,
        summed.products,
        case
            when coalesce(watched.watched_count, 0) < {{ minimum_customers }}
                then
                    'too few: ' || {{ as_text('coalesce(watched.watched_count, 0)') }}
                    || ' customers watched for ' || {{ as_text('pairs.last_day') }}
                    || ' days, {{ minimum_customers }} needed'
            when summed.customer_count is null then 'the source does not tell it'
            when summed.customer_count < {{ minimum_customers }}
                then
                    'too few: known of ' || {{ as_text('summed.customer_count') }}
                    || ' customers, {{ minimum_customers }} needed'
            when summed.outcome_squares = 0 then 'the outcome is the same for everybody'
            when not pairs.has_levels and summed.feature_squares = 0
                then 'it is the same for everybody'
            when pairs.has_levels and levels_known.feature is null then 'nobody has any'
        end as note
    from pairs
    left join watched on pairs.outcome = watched.outcome
    left join summed on pairs.feature = summed.feature and pairs.outcome = summed.outcome
    left join levels_known
        on pairs.feature = levels_known.feature and pairs.outcome = levels_known.outcome

),

judged_levels as (

    select
        checked.feature,
        levels.feature_level,
        checked.outcome,
        checked.customer_count,
        levels.level_customer_count,
        levels.level_customer_count >= {{ minimum_in_level }}
        and checked.customer_count - levels.level_customer_count >= {{ minimum_in_level }}
        and 100 * levels.level_customer_count >= checked.customer_count as is_enough,
        levels.outcome_rank_sum,
        -- Of the indicator, on the scale of the doubled ranks' sums.
        {{ float_quotient(
            'levels.level_customer_count'
            ~ ' * (checked.customer_count - levels.level_customer_count)',
            'checked.customer_count',
        ) }} as level_squares,
        checked.outcome_squares
    from checked
    inner join levels on checked.feature = levels.feature and checked.outcome = levels.outcome
    where checked.note is null

),

final as (

    select
        feature,
        cast(null as {{ dbt.type_string() }}) as feature_level,
        outcome,
        customer_count,
        cast(null as bigint) as level_customer_count,
        case
            when note is null
                then {{ float_quotient(
                    'products',
                    'sqrt(cast(feature_squares as double) * cast(outcome_squares as double))',
                ) }}
        end as rank_correlation,
        note
    from checked
    where not has_levels or note is not null

    union all

    select
        feature,
        feature_level,
        outcome,
        customer_count,
        level_customer_count,
        {{ float_quotient(
            'outcome_rank_sum', 'sqrt(level_squares * cast(outcome_squares as double))'
        ) }} as rank_correlation,
        null as note
    from judged_levels
    where is_enough

    union all

    select
        feature,
        'all others' as feature_level,
        outcome,
        max(customer_count) as customer_count,
        null as level_customer_count,
        null as rank_correlation,
        'too few customers in or outside of each level (' || {{ as_text('count(*)') }} || ' left out)'
            as note
    from judged_levels
    where not is_enough
    group by feature, outcome

)

select * from final
