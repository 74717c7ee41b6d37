-- Where each buyer stands as of the date, in whole days.
with purchase_days as (

    select * from {{ ref('int_purchase_days') }}

),

final as (

    select
        customer_id,
        min(purchased_on) as first_purchase_on,
        max(purchased_on) as last_purchase_on,
        cast(count(*) as integer) as purchase_day_count,
        cast({{ days_between('max(purchased_on)', as_of_date()) }} as integer) as hiatus_days,
        -- The expected gap is this quotient: the customer's own gaps and two typical ones, which
        -- steady it while there are few. Kept apart so that rules compare whole numbers.
        cast(
            {{ days_between('min(purchased_on)', 'max(purchased_on)') }}
            + 2 * {{ var('typical_gap_days') }} as integer
        ) as expected_gap_days_total,
        cast(count(*) + 1 as integer) as expected_gap_count,
        max_by(value_at_stake, purchased_on) as value_at_stake
    from purchase_days
    group by customer_id

)

select * from final
