{{ config(meta={'dagster': {'ref': {'name': 'cohort_retention'}}}) }}

-- A month's new customers are its cohort, all of them buyers in month 0, and its active customers
-- are those retained of all cohorts.
with cells as (

    select
        {{ dbt.dateadd('month', 'months_since', 'acquisition_month') }} as month,
        months_since,
        customer_count,
        retained_customer_count
    from {{ ref('cohort_retention') }}

),

totals as (

    select
        month,
        sum(retained_customer_count) as active_count,
        sum(customer_count) filter (where months_since = 0) as new_count,
        sum(retained_customer_count) filter (where months_since = 0) as retained_new_count
    from cells
    group by month

)

select flow.month
from {{ ref('lifecycle_flow') }} as flow
left join totals on flow.month = totals.month
where
    flow.active_customer_count <> coalesce(totals.active_count, 0)
    or flow.new_customer_count <> coalesce(totals.new_count, 0)
    or flow.new_customer_count <> coalesce(totals.retained_new_count, 0)
