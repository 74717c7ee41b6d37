with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

final as (

    select
        customer_id,
        cast(sum(net_revenue) as decimal(18, 2)) as net_revenue,
        cast(
            coalesce(
                sum(net_revenue) filter (
                    where ordered_on > {{ plus_days(as_of_date(), -365) }}
                ), 0
            ) as decimal(18, 2)
        ) as net_revenue_trailing_365d
    from customer_days
    group by customer_id

)

select * from final
