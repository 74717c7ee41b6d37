with months as (

    select * from {{ ref('int_months') }}

),

buyers as (

    select
        customer_id,
        {{ month_of('first_purchase_on') }} as acquisition_month
    from {{ ref('int_buyers') }}

),

customer_months as (

    select * from {{ ref('int_customer_months') }}

),

cohorts as (

    select
        acquisition_month,
        count(*) as customer_count
    from buyers
    group by acquisition_month

),

activity as (

    select
        buyers.acquisition_month,
        customer_months.month,
        count_if(customer_months.is_active) as retained_count,
        sum(customer_months.net_revenue) as net_revenue
    from buyers
    inner join customer_months on buyers.customer_id = customer_months.customer_id
    group by all

),

-- Every cohort has a cell for every month up to the as-of date, also where nobody came.
cells as (

    select
        cohorts.acquisition_month,
        cohorts.customer_count,
        months.month,
        months.is_over
    from cohorts
    inner join months on cohorts.acquisition_month <= months.month

),

filled as (

    select
        cells.acquisition_month,
        cells.customer_count,
        cells.is_over,
        {{ months_between('cells.acquisition_month', 'cells.month') }} as months_since,
        coalesce(activity.retained_count, 0) as retained_count,
        coalesce(activity.net_revenue, 0) as net_revenue
    from cells
    left join activity
        on
            cells.acquisition_month = activity.acquisition_month
            and cells.month = activity.month

),

final as (

    select
        acquisition_month,
        cast(months_since as integer) as months_since,
        cast(customer_count as integer) as customer_count,
        cast(retained_count as integer) as retained_customer_count,
        cast({{ quotient('retained_count', 'customer_count', 6) }} as decimal(9, 6))
            as retention_rate,
        cast(net_revenue as decimal(18, 2)) as net_revenue,
        '{{ var("currency") }}' as currency,
        is_over as is_mature
    from filled

)

select * from final
