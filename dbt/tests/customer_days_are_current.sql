{{ config(meta={'dagster': {'ref': {'name': 'int_customer_days'}}}) }}

-- Incremental equals full: no computed day may lag behind its lines.
with lines as (

    select
        ordered_on,
        sum(amount) filter (where is_used) as net_revenue,
        sum(discount_amount) filter (where is_sale_line) as discount_amount,
        count_if(is_sale_line) as sale_line_count
    from {{ ref('stg_transactions') }}
    where customer_id is not null
    group by ordered_on

),

customer_days as (

    select
        ordered_on,
        sum(net_revenue) as net_revenue,
        sum(discount_amount) as discount_amount,
        sum(sale_line_count) as sale_line_count
    from {{ ref('int_customer_days') }}
    group by ordered_on

)

select coalesce(lines.ordered_on, customer_days.ordered_on) as ordered_on
from lines
full outer join customer_days on lines.ordered_on = customer_days.ordered_on
where
    coalesce(lines.net_revenue, 0) <> coalesce(customer_days.net_revenue, 0)
    or coalesce(lines.discount_amount, 0) <> coalesce(customer_days.discount_amount, 0)
    or coalesce(lines.sale_line_count, 0) <> coalesce(customer_days.sale_line_count, 0)
