{{ config(meta={'dagster': {'ref': {'name': 'lost_customers_by_month'}}}) }}

-- Every loss of the history is in the table, and losses less those regained are the customers lost now.
with episodes as (

    select
        count(*) as lost_count,
        coalesce(sum(value_at_stake), 0) as value_at_stake
    from {{ ref('int_lost_episodes') }}

),

months as (

    select
        coalesce(sum(lost_customer_count), 0) as lost_count,
        coalesce(sum(lost_customer_count - regained_customer_count), 0) as open_count,
        coalesce(sum(value_at_stake), 0) as value_at_stake
    from {{ ref('lost_customers_by_month') }}

),

customers as (

    select count_if(lifecycle_stage = 'lost') as lost_count
    from {{ ref('customers') }}

)

select
    months.lost_count,
    months.open_count,
    months.value_at_stake
from episodes
cross join months
cross join customers
where
    months.lost_count <> episodes.lost_count
    or months.value_at_stake <> episodes.value_at_stake
    or months.open_count <> customers.lost_count
