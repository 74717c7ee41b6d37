with purchase_days as (

    select * from {{ ref('int_purchase_days') }}

),

final as (

    select
        customer_id,
        min(purchased_on) as first_purchase_on,
        min(purchased_on) filter (where purchase_number = 2) as second_purchase_on,
        min(purchased_on) filter (where purchase_number = {{ var('client_purchase_days') }})
            as client_since,
        max(purchased_on) as last_purchase_on,
        cast(count(*) as integer) as purchase_day_count,
        cast({{ days_between('max(purchased_on)', as_of_date()) }} as integer) as days_since_last_purchase,
        cast(
            coalesce(sum(net_revenue) filter (where purchase_number > 1), 0) as decimal(18, 2)
        ) as repeat_net_revenue,
        max_by(value_at_stake, purchased_on) as value_at_stake,
        max_by(margin_at_stake, purchased_on) as margin_at_stake,
        max_by(expected_value_at_stake, purchased_on) as expected_value_at_stake
    from purchase_days
    group by customer_id

)

select * from final
