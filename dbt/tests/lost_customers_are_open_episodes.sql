{{ config(meta={'dagster': {'ref': {'name': 'customers'}}}) }}

-- Two roads to the lost: by hiatus on the as-of date, and by the silences of the history.
with by_hiatus as (

    select customer_id
    from {{ ref('customers') }}
    where lifecycle_stage = 'lost'

),

by_history as (

    select customer_id
    from {{ ref('int_lost_episodes') }}
    where regained_on is null

)

select coalesce(by_hiatus.customer_id, by_history.customer_id) as customer_id
from by_hiatus
full outer join by_history on by_hiatus.customer_id = by_history.customer_id
where by_hiatus.customer_id is null or by_history.customer_id is null
