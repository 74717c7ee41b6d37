with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

final as (

    select
        customer_id,
        {{ month_of('ordered_on') }} as month,
        cast(sum(net_revenue) as decimal(18, 2)) as net_revenue,
        max(sale_line_count) > 0 as is_active
    from customer_days
    group by all

)

select * from final
