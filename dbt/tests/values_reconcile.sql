{{ config(meta={'dagster': {'ref': {'name': 'customer_values'}}}) }}

-- Every customer has the four periods, and their sums are those of customers, computed another way.
with periods as (

    select
        customer_id,
        count(*) as period_count,
        sum(net_revenue) filter (where period = 'lifetime') as net_revenue,
        sum(purchase_day_count) filter (where period = 'lifetime') as purchase_day_count,
        sum(net_revenue) filter (where period = 'trailing_365d') as net_revenue_trailing_365d,
        sum(net_revenue) filter (where period = 'last_active_year') as value_at_stake
    from {{ ref('customer_values') }}
    group by customer_id

)

select coalesce(customers.customer_id, periods.customer_id) as customer_id
from {{ ref('customers') }} as customers
full outer join periods on customers.customer_id = periods.customer_id
where
    coalesce(
        periods.period_count <> 4
        or periods.net_revenue <> customers.net_revenue
        or periods.purchase_day_count <> customers.purchase_day_count
        or periods.net_revenue_trailing_365d <> customers.net_revenue_trailing_365d
        or periods.value_at_stake <> customers.value_at_stake,
        true
    )
