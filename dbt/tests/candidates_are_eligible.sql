{{ config(meta={'dagster': {'ref': {'name': 'winback_candidates'}}}) }}

-- Everybody who is lost or in alarm with something at stake is a candidate, and nobody else.
with eligible as (

    select
        customer_id,
        value_tier,
        value_at_stake
    from {{ ref('customers') }}
    where lifecycle_stage in ('lost', 'alarm') and value_at_stake > 0

),

candidates as (

    select
        customer_id,
        value_tier,
        value_at_stake,
        rank <> row_number() over (order by rank nulls last) as has_gap_before
    from {{ ref('winback_candidates') }}

)

select coalesce(eligible.customer_id, candidates.customer_id) as customer_id
from eligible
full outer join candidates on eligible.customer_id = candidates.customer_id
where
    eligible.customer_id is null
    or candidates.customer_id is null
    or eligible.value_tier <> candidates.value_tier
    or eligible.value_at_stake <> candidates.value_at_stake
    or candidates.has_gap_before
