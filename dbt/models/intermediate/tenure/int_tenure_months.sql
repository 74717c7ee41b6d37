-- What customers brought in each month of their tenure that has been observed wholly, and whether
-- they were lost at its end; months without any line have no row.
with tenures as (

    select * from {{ ref('int_tenures') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

lost_months as (

    select * from {{ ref('int_lost_tenure_months') }}

),

revenue as (

    select
        customer_days.customer_id,
        {{ tenure_months(days_between('tenures.first_purchase_on', 'customer_days.ordered_on')) }}
            as tenure_month,
        cast(sum(customer_days.net_revenue) as decimal(18, 2)) as net_revenue
    from customer_days
    inner join tenures on customer_days.customer_id = tenures.customer_id
    where
        customer_days.ordered_on >= tenures.first_purchase_on
        and {{ tenure_months(
            days_between('tenures.first_purchase_on', 'customer_days.ordered_on')
        ) }} < tenures.observed_month_count
    group by all

),

final as (

    select
        revenue.customer_id,
        revenue.tenure_month,
        revenue.net_revenue,
        lost_months.customer_id is not null as is_lost
    from revenue
    left join lost_months
        on
            revenue.customer_id = lost_months.customer_id
            and revenue.tenure_month >= lost_months.first_lost_month
            and (
                revenue.tenure_month < lost_months.regained_month
                or lost_months.regained_month is null
            )

)

select * from final
