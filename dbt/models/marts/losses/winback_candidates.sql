with customers as (

    select * from {{ ref('customers') }}

),

eligible as (

    select
        *,
        case value_tier when 'high' then 1 when 'medium' then 2 else 3 end as tier_order,
        {{ days_between('lost_on', as_of_date()) }} as days_since_lost,
        cast(expected_gap_days as decimal(18, 1)) as expected_gap_in_words
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
                    days_since_last_purchase asc nulls last,
                    customer_id asc nulls last
            ) as integer
        ) as rank,
        customer_id,
        value_tier,
        lifecycle_stage,
        cast(days_since_lost as integer) as days_since_lost,
        days_since_last_purchase,
        value_at_stake,
        currency,
        value_tier || ' value: ' || {{ as_text('value_at_stake') }} || ' ' || currency
        || ' in the year up to the last purchase; '
        || case
            when lifecycle_stage = 'alarm'
                then 'in alarm, lost in ' || {{ days_in_words('days_until_lost') }}
            when days_since_lost = 0 then 'lost today'
            else 'lost ' || {{ days_in_words('days_since_lost') }} || ' ago'
        end
        || '; {{ "silent" if var("churn_basis") == "purchase" else "no purchase" }} for ' || {{ days_in_words('days_since_last_purchase') }}
        -- After a single purchase day the expected gap is the source's, not the customer's.
        || case
            when purchase_day_count = 1 then ' after a single purchase day'
            else ', expected to {{ "buy" if var("churn_basis") == "purchase" else "be active" }} every ' || {{ as_text('expected_gap_in_words') }} || ' days'
        end as rank_reason
    from eligible

)

select * from final
