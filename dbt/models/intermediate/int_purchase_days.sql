-- Several orders on one day are one purchase day; a day of returns alone is none, but lowers the
-- value of the purchases that follow within a year.
with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

-- All windows in one order, so that the days are sorted once.
valued as (

    select
        customer_id,
        ordered_on,
        sale_line_count,
        net_revenue,
        cast(
            sum(net_revenue) over (
                partition by customer_id
                order by ordered_on nulls last
                range between interval '364 days' preceding and current row
            ) as decimal(18, 2)
        ) as value_at_stake,
        cast(
            sum(margin) over (
                partition by customer_id
                order by ordered_on nulls last
                range between interval '364 days' preceding and current row
            ) as decimal(18, 2)
        ) as margin_at_stake,
        cast(
            sum(case when sale_line_count > 0 then 1 else 0 end) over so_far as integer
        ) as purchase_number,
        min(case when sale_line_count > 0 then ordered_on end) over so_far as first_purchased_on,
        min(case when sale_line_count > 0 then ordered_on end) over (
            partition by customer_id
            order by ordered_on nulls last
            rows between 1 following and unbounded following
        ) as next_purchased_on,
        cast(sum(net_revenue) over so_far as decimal(18, 2)) as revenue_to_date,
        cast(sum(coalesce(sale_quantity, 0)) over so_far as decimal(18, 3)) as quantity_to_date,
        cast(sum(sale_line_count) over so_far as bigint) as line_count_to_date
    from customer_days
    window so_far as (
        partition by customer_id
        order by ordered_on nulls last
        rows between unbounded preceding and current row
    )

),

final as (

    select
        customer_id,
        ordered_on as purchased_on,
        purchase_number,
        first_purchased_on,
        next_purchased_on,
        net_revenue,
        value_at_stake,
        margin_at_stake,
        revenue_to_date,
        quantity_to_date,
        line_count_to_date
    from valued
    where sale_line_count > 0

)

select * from final
