{{ config(meta={'dagster': {'ref': {'name': 'value_tier_versions'}}}) }}

-- The version in force holds the customers of each tier, and every version all buyers.
with customers as (

    select
        value_tier,
        count(*) as customer_count,
        sum(value_at_stake) as value_at_stake
    from {{ ref('customers') }}
    where value_tier is not null
    group by value_tier

),

buyers as (

    select count(*) as customer_count
    from {{ ref('int_buyers') }}

),

versions as (

    select
        *,
        sum(customer_count) over (partition by version) as buyer_count
    from {{ ref('value_tier_versions') }}

)

select
    versions.version,
    versions.value_tier
from versions
cross join buyers
left join customers on versions.value_tier = customers.value_tier
where
    versions.buyer_count <> buyers.customer_count
    or (
        versions.is_in_force
        and (
            versions.customer_count <> coalesce(customers.customer_count, 0)
            or versions.value_at_stake <> coalesce(customers.value_at_stake, 0)
        )
    )
