-- What the customer-base models take from a buyer's history, and the groups whose totals are
-- forecast. Read once, in order and in batches.
with purchase_days as (

    select * from {{ ref('int_purchase_days') }}

),

sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

stages as (

    select
        intervals.customer_id,
        rules.stage as lifecycle_stage
    from {{ ref('int_lifecycle_intervals') }} as intervals
    inner join {{ ref('stage_rules') }} as rules on intervals.rule_id = rules.rule_id
    where intervals.valid_to = {{ as_of_date() }}

),

histories as (

    select
        customer_id,
        cast(count(*) - 1 as integer) as repeat_count,
        min(purchased_on) as first_purchase_on,
        max(purchased_on) as last_purchase_on,
        cast(
            coalesce(sum(net_revenue) filter (where purchase_number > 1), 0) as decimal(18, 2)
        ) as repeat_net_revenue,
        max_by(value_at_stake, purchased_on) as value_at_stake,
        max_by(margin_at_stake, purchased_on) as margin_at_stake,
        max_by(expected_value_at_stake, purchased_on) as expected_value_at_stake
    from purchase_days
    group by customer_id

),

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where is_in_force and month = {{ month_of(as_of_date()) }}

),

final as (

    select
        histories.customer_id,
        histories.repeat_count,
        cast(
            {{ days_between('histories.first_purchase_on', 'histories.last_purchase_on') }}
            as integer
        ) as days_to_last,
        cast({{ days_between('histories.first_purchase_on', as_of_date()) }} as integer)
            as days_observed,
        histories.repeat_net_revenue,
        histories.value_at_stake,
        {{ month_of('histories.first_purchase_on') }} as acquisition_month,
        {{ value_tier(tiered_value('tier_cutoffs.measure', 'histories')) }} as value_tier,
        stages.lifecycle_stage,
        sampled_customers.group_number
    from histories
    inner join stages on histories.customer_id = stages.customer_id
    left join sampled_customers on histories.customer_id = sampled_customers.customer_id
    cross join tier_cutoffs

)

select * from final
