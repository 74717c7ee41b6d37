with months as (

    select * from {{ ref('int_months') }}

),

customer_months as (

    select * from {{ ref('int_customer_months') }}

),

active_months as (

    select
        month,
        {{ next_month('month') }} as next_month,
        lag(month) over history as previous_active_month,
        lead(month) over history as next_active_month
    from customer_months
    where is_active
    window history as (partition by customer_id order by month nulls last)

),

arrivals as (

    select
        month,
        count(*) as active_count,
        count_if(previous_active_month is null) as new_count,
        count_if({{ next_month('previous_active_month') }} = month) as returning_count,
        count_if({{ next_month('previous_active_month') }} < month) as resurrecting_count
    from active_months
    group by month

),

-- Whoever was active in a month and not in the next is dormant in the next, once and not for
-- every month that follows.
departures as (

    select
        next_month as month,
        count(*) as dormant_count
    from active_months
    where next_active_month is null or next_active_month > next_month
    group by next_month

),

final as (

    select
        months.month,
        cast(coalesce(arrivals.active_count, 0) as integer) as active_customer_count,
        cast(coalesce(arrivals.new_count, 0) as integer) as new_customer_count,
        cast(coalesce(arrivals.returning_count, 0) as integer) as returning_customer_count,
        cast(coalesce(arrivals.resurrecting_count, 0) as integer) as resurrecting_customer_count,
        cast(coalesce(departures.dormant_count, 0) as integer) as dormant_customer_count,
        months.is_complete_month
    from months
    left join arrivals on months.month = arrivals.month
    left join departures on months.month = departures.month

)

select * from final
