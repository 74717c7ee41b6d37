{{ config(meta={'dagster': {'ref': {'name': 'value_tier_movements'}}}) }}

-- Whoever is in a tier at the end of a month comes from it in the next, and at the end the tiers are
-- those of the customers.
with movements as (

    select * from {{ ref('value_tier_movements') }}

),

arrivals as (

    select
        {{ next_month('month') }} as next_month,
        to_tier as value_tier,
        sum(customer_count) as customer_count,
        sum(value_at_stake) as value_at_stake
    from movements
    group by month, to_tier

),

departures as (

    select
        month as next_month,
        from_tier as value_tier,
        sum(customer_count) as customer_count,
        cast(null as decimal(38, 2)) as value_at_stake
    from movements
    where from_tier <> 'none'
    group by month, from_tier

    union all

    select
        {{ next_month(month_of(as_of_date())) }} as next_month,
        value_tier,
        count(*) as customer_count,
        sum(value_at_stake) as value_at_stake
    from {{ ref('customers') }}
    where value_tier is not null
    group by value_tier

)

select
    coalesce(arrivals.next_month, departures.next_month) as next_month,
    coalesce(arrivals.value_tier, departures.value_tier) as value_tier
from arrivals
full outer join departures
    on
        arrivals.next_month = departures.next_month
        and arrivals.value_tier = departures.value_tier
where
    coalesce(arrivals.customer_count <> departures.customer_count, true)
    or arrivals.value_at_stake <> departures.value_at_stake
