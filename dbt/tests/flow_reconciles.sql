{{ config(meta={'dagster': {'ref': {'name': 'lifecycle_flow'}}}) }}

-- Every active customer is new, returning or resurrecting, and whoever was active a month ago is
-- returning or dormant now.
with flow as (

    select
        *,
        lag(active_customer_count, 1, 0) over (order by month nulls last) as previous_active_count
    from {{ ref('lifecycle_flow') }}

)

select month
from flow
where
    new_customer_count + returning_customer_count + resurrecting_customer_count
    <> active_customer_count
    or returning_customer_count + dormant_customer_count <> previous_active_count
