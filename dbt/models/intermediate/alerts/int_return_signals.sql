-- Days at whose end the customer has returned a greater share of the last two cycles' sales than
-- of all earlier ones. A return may signal days after the purchase; it counts for the cycle it
-- falls into.
with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

-- Whoever never returned anything, or has no baseline yet, cannot signal.
returning_customers as (

    select customer_id
    from customer_days
    group by customer_id
    having sum(return_amount) > 0 and count_if(sale_line_count > 0) >= 4

),

numbered as (

    select
        customer_days.customer_id,
        customer_days.ordered_on,
        customer_days.sale_line_count,
        customer_days.sale_amount,
        customer_days.return_amount,
        cast(
            sum(case when customer_days.sale_line_count > 0 then 1 else 0 end) over so_far
            as integer
        ) as purchase_number,
        -- The day of the purchase that opened the cycle.
        max(case when customer_days.sale_line_count > 0 then customer_days.ordered_on end)
            over so_far as purchased_on,
        sum(customer_days.sale_amount) over so_far as sales_to_date,
        sum(customer_days.return_amount) over so_far as returns_to_date
    from customer_days
    inner join returning_customers on customer_days.customer_id = returning_customers.customer_id
    window so_far as (
        partition by customer_days.customer_id
        order by customer_days.ordered_on nulls last
        rows between unbounded preceding and current row
    )

),

compared as (

    select
        customer_id,
        ordered_on,
        purchase_number,
        purchased_on,
        sales_to_date,
        returns_to_date,
        -- Sums only grow: the least one of the last two cycles is the one before their first day.
        min(sales_to_date - sale_amount) over last_cycles as earlier_sales,
        min(returns_to_date - return_amount) over last_cycles as earlier_returns
    from numbered
    -- The fourth cycle is the first that is compared, together with the third.
    where purchase_number >= 3
    window last_cycles as (
        partition by customer_id
        order by purchase_number nulls last
        range between 1 preceding and current row
    )

),

shares as (

    select
        customer_id,
        ordered_on,
        purchased_on,
        purchase_number,
        {{ float_quotient('earlier_returns', 'earlier_sales') }} as baseline,
        {{ float_quotient(
            '(returns_to_date - earlier_returns)', '(sales_to_date - earlier_sales)'
        ) }} as observed
    from compared
    where
        purchase_number >= 4
        and earlier_sales > 0
        and sales_to_date > earlier_sales
        and returns_to_date > earlier_returns

),

final as (

    select
        customer_id,
        purchased_on,
        purchase_number,
        'return_share_rising' as alert_type,
        min(ordered_on) as signalled_on,
        {{ rounded('min_by(baseline, ordered_on)', 4) }} as baseline,
        {{ rounded('min_by(observed, ordered_on)', 4) }} as observed,
        {{ rounded('min_by(baseline, ordered_on) + ' ~ var('return_share_rise'), 4) }} as threshold
    from shares
    where observed > baseline + {{ var('return_share_rise') }} + 1e-9
    group by customer_id, purchased_on, purchase_number

)

select * from final
