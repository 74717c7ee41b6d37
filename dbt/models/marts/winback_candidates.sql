with customers as (

    select * from {{ ref('customers') }}

),

eligible as (

    select
        *,
        case value_tier when 'high' then 1 when 'middle' then 2 else 3 end as tier_order,
        {{ days_between('lost_on', as_of_date()) }} as days_since_lost
    from customers
    where lifecycle_stage in ('lost', 'alarm') and value_at_stake > 0

),

final as (

    select
        cast(
            row_number() over (
                order by
                    tier_order asc nulls last,
                    value_at_stake desc nulls last,
                    hiatus_days asc nulls last,
                    customer_id asc nulls last
            ) as integer
        ) as rank,
        customer_id,
        value_tier,
        lifecycle_stage,
        cast(days_since_lost as integer) as days_since_lost,
        hiatus_days,
        value_at_stake,
        currency,
        value_tier || ' value: ' || cast(value_at_stake as varchar) || ' ' || currency
        || ' in the year up to the last purchase; '
        || case
            when lifecycle_stage = 'lost'
                then 'lost ' || cast(days_since_lost as varchar) || ' days ago, silent for '
            else 'in alarm, silent for '
        end
        || cast(hiatus_days as varchar) || ' days where '
        || cast(expected_gap_days as varchar) || ' are usual' as rank_reason
    from eligible

)

select * from final
