{{ config(meta={'dagster': {'ref': {'name': 'customers'}}}) }}

-- To the cent: what the customers' lines add up to in staging is what the customers add up to.
with lines as (

    select coalesce(sum(amount), 0) as net_revenue
    from {{ ref('stg_transactions') }}
    where is_used and customer_id is not null and ordered_on <= {{ as_of_date() }}

),

customers as (

    select coalesce(sum(net_revenue), 0) as net_revenue
    from {{ ref('customers') }}

)

select
    lines.net_revenue as lines_net_revenue,
    customers.net_revenue as customers_net_revenue
from lines
cross join customers
where lines.net_revenue <> customers.net_revenue
