-- What the customer-base models take from a buyer's history, and the groups whose totals are
-- forecast. Read once, in order and in batches.
with buyers as (

    select * from {{ ref('int_buyers') }}

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

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where is_in_force and month = {{ month_of(as_of_date()) }}

),

final as (

    select
        buyers.customer_id,
        buyers.purchase_day_count - 1 as repeat_count,
        cast(
            {{ days_between('buyers.first_purchase_on', 'buyers.last_purchase_on') }} as integer
        ) as days_to_last,
        cast({{ days_between('buyers.first_purchase_on', as_of_date()) }} as integer)
            as days_observed,
        buyers.repeat_net_revenue,
        {{ month_of('buyers.first_purchase_on') }} as acquisition_month,
        {{ value_tier(tiered_value('tier_cutoffs.measure', 'buyers')) }} as value_tier,
        stages.lifecycle_stage,
        sampled_customers.group_number
    from buyers
    inner join stages on buyers.customer_id = stages.customer_id
    left join sampled_customers on buyers.customer_id = sampled_customers.customer_id
    cross join tier_cutoffs

)

select * from final
