with months as (

    select * from {{ ref('int_months') }}

),

buyers as (

    select
        customer_id,
        {{ month_of('first_purchase_on') }} as acquisition_month
    from {{ ref('int_buyers') }}

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
    inner join {{ ref('int_customer_months') }} as customer_months
        on buyers.customer_id = customer_months.customer_id
    group by all

),

-- Every cohort has a cell for every month up to the as-of date, also where nobody came.
cells as (

    select
        cohorts.acquisition_month,
        cohorts.customer_count,
        months.month,
        months.is_complete_month
    from cohorts
    inner join months on cohorts.acquisition_month <= months.month

),

final as (

    select
        cells.acquisition_month,
        cast({{ months_between('cells.acquisition_month', 'cells.month') }} as integer)
            as months_since,
        cast(cells.customer_count as integer) as customer_count,
        cast(coalesce(activity.retained_count, 0) as integer) as retained_customer_count,
        cast(
            cast(coalesce(activity.retained_count, 0) as decimal(18, 6)) / cells.customer_count
            as decimal(9, 6)
        ) as retention_rate,
        cast(coalesce(activity.net_revenue, 0) as decimal(18, 2)) as net_revenue,
        cast('{{ var("currency") }}' as varchar) as currency,
        cells.is_complete_month as is_mature
    from cells
    left join activity
        on
            cells.acquisition_month = activity.acquisition_month
            and cells.month = activity.month

)

select * from final
