-- What was known of the sampled customers as of each cutoff, and what they did in the horizon
-- after it. Of the values at a past cutoff it is those of the latest purchase day by then. Tiers go
-- by the version in force on the as-of date, whatever was in force at the cutoff: what is learnt of
-- a tier must hold for the same tier today. (The shares of buyers who return, part of an expected
-- value, are those of the as-of date too.)
with cutoffs as (

    select * from {{ ref('int_score_cutoffs') }}

),

value_tier_versions as (

    select * from {{ ref('int_value_tier_versions') }}
    where valid_from <= {{ as_of_date() }} and valid_before > {{ as_of_date() }}

),

sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

purchase_days as (

    select
        purchase_days.customer_id,
        purchase_days.purchased_on,
        {{ tiered_value('value_tier_versions.measure', 'purchase_days') }} as measured_value,
        sampled_customers.group_number
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join sampled_customers on purchase_days.customer_id = sampled_customers.customer_id
    cross join value_tier_versions

),

known as (

    select
        cutoffs.horizon_days,
        cutoffs.step,
        cutoffs.cutoff_on,
        purchase_days.customer_id,
        purchase_days.group_number,
        cast(count_if(purchase_days.purchased_on <= cutoffs.cutoff_on) - 1 as integer)
            as repeat_count,
        cast(
            {{ days_between(
                'min(purchase_days.purchased_on)',
                'max(purchase_days.purchased_on) filter (where purchase_days.purchased_on <= cutoffs.cutoff_on)'
            ) }} as integer
        ) as days_to_last,
        cast(
            {{ days_between('min(purchase_days.purchased_on)', 'cutoffs.cutoff_on') }} as integer
        ) as days_observed,
        max_by(purchase_days.measured_value, purchase_days.purchased_on) filter (
            where purchase_days.purchased_on <= cutoffs.cutoff_on
        ) as measured_value,
        cast(
            count_if(
                purchase_days.purchased_on <= cutoffs.cutoff_on
                and purchase_days.purchased_on > {{ plus_days('cutoffs.cutoff_on', '-cutoffs.horizon_days') }}
            ) as integer
        ) as last_period_count,
        cast(
            count_if(
                purchase_days.purchased_on > cutoffs.cutoff_on
                and purchase_days.purchased_on <= {{ plus_days('cutoffs.cutoff_on', 'cutoffs.horizon_days') }}
            ) as integer
        ) as next_period_count
    from cutoffs
    cross join purchase_days
    group by
        cutoffs.horizon_days, cutoffs.step, cutoffs.cutoff_on, purchase_days.customer_id,
        purchase_days.group_number
    having min(purchase_days.purchased_on) <= cutoffs.cutoff_on

),

ranked as (

    select
        known.*,
        value_tier_versions.method,
        value_tier_versions.high_boundary,
        value_tier_versions.medium_boundary,
        -- Equal values share a rank, so the customers with a strictly greater value are rank - 1.
        rank() over (
            partition by known.horizon_days, known.step order by known.measured_value desc nulls last
        ) - 1 as greater_count,
        count(*) over (partition by known.horizon_days, known.step) as customer_count
    from known
    cross join value_tier_versions

),

final as (

    select
        horizon_days,
        step,
        cutoff_on,
        customer_id,
        group_number,
        repeat_count,
        days_to_last,
        days_observed,
        case
            {% for tier in ('high', 'medium') -%}
                when
                    -- Zero or less is low, whatever the others.
                    measured_value > 0
                    and case
                        when method = 'cutoff' then measured_value >= {{ tier }}_boundary
                        else greater_count < {{ tier }}_boundary * customer_count
                    end
                    then '{{ tier }}'
            {% endfor -%}
            else 'low'
        end as value_tier,
        last_period_count,
        next_period_count
    from ranked

)

select * from final
