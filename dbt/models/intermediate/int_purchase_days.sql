-- Several orders on one day are one purchase day; a day of returns alone is none, but lowers the
-- value of the purchases that follow within a year.
with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

valued as (

    select
        customer_id,
        ordered_on,
        sale_line_count,
        cast(
            sum(net_revenue) over (
                partition by customer_id
                order by ordered_on nulls last
                range between interval '364 days' preceding and current row
            ) as decimal(18, 2)
        ) as value_at_stake
    from customer_days

),

final as (

    select
        customer_id,
        ordered_on as purchased_on,
        cast(row_number() over purchases as integer) as purchase_number,
        lead(ordered_on) over purchases as next_purchased_on,
        value_at_stake
    from valued
    where sale_line_count > 0
    window purchases as (partition by customer_id order by ordered_on nulls last)

)

select * from final
