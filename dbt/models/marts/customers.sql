with customers_staged as (

    select * from {{ ref('int_customers_staged') }}

),

customer_revenue as (

    select * from {{ ref('int_customer_revenue') }}

),

lost_episodes as (

    select * from {{ ref('int_lost_episodes') }}
    where regained_on is null

),

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where month = {{ month_of(as_of_date()) }}

),

final as (

    select
        customers_staged.customer_id,
        customers_staged.known_on,
        customers_staged.first_purchase_on,
        customers_staged.last_purchase_on,
        customers_staged.purchase_day_count,
        customers_staged.hiatus_days,
        customers_staged.expected_gap_days,
        coalesce(customer_revenue.net_revenue, 0) as net_revenue,
        coalesce(customer_revenue.net_revenue_trailing_365d, 0) as net_revenue_trailing_365d,
        customers_staged.value_at_stake,
        '{{ var("currency") }}' as currency,
        customers_staged.lifecycle_stage,
        customers_staged.rule_id,
        cast({{ var('lost_threshold_days') }} as integer) as lost_threshold_days,
        lost_episodes.lost_on,
        case
            when customers_staged.purchase_day_count > 0
                then {{ value_tier('customers_staged.value_at_stake') }}
        end as value_tier
    from customers_staged
    left join customer_revenue on customers_staged.customer_id = customer_revenue.customer_id
    left join lost_episodes on customers_staged.customer_id = lost_episodes.customer_id
    -- One row, or none while nobody has bought.
    left join tier_cutoffs on true

)

select * from final
