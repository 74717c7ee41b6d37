-- What was known of the sampled customers as of each cutoff, and what they did in the horizon
-- after it. Of the value at a past cutoff it is the one of the latest purchase day by then.
with cutoffs as (

    select * from {{ ref('int_score_cutoffs') }}

),

sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

purchase_days as (

    select
        purchase_days.customer_id,
        purchase_days.purchased_on,
        purchase_days.value_at_stake,
        sampled_customers.group_number
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join sampled_customers on purchase_days.customer_id = sampled_customers.customer_id

),

final as (

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
        max_by(purchase_days.value_at_stake, purchase_days.purchased_on) filter (
            where purchase_days.purchased_on <= cutoffs.cutoff_on
        ) as value_at_stake,
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

)

select * from final
