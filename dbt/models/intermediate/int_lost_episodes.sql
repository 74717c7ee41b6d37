-- A customer is lost from the first day on which they have been silent for more than the
-- threshold, until they buy again, which may be on that very day.
with purchase_days as (

    select * from {{ ref('int_purchase_days') }}

),

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}

),

silences as (

    select
        customer_id,
        purchased_on,
        next_purchased_on as regained_on,
        value_at_stake,
        {{ plus_days('purchased_on', var('lost_threshold_days') + 1) }} as lost_on
    from purchase_days

),

lost as (

    select * from silences
    where lost_on <= {{ as_of_date() }} and (lost_on <= regained_on or regained_on is null)

),

final as (

    select
        lost.customer_id,
        lost.lost_on,
        lost.regained_on,
        lost.value_at_stake,
        {{ value_tier('lost.value_at_stake') }} as value_tier
    from lost
    inner join tier_cutoffs on {{ month_of('lost.lost_on') }} = tier_cutoffs.month

)

select * from final
