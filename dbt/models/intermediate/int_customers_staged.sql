{%- set lost_days = var('lost_threshold_days') -%}

-- One rule per customer: the first that holds, in order of precedence. Days are compared as whole
-- numbers (a x c > b x d, never a / b > d / c), so no rounding can move a customer.
with known_customers as (

    select * from {{ ref('int_known_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

ruled as (

    select
        known_customers.customer_id,
        known_customers.known_on,
        buyers.first_purchase_on,
        buyers.last_purchase_on,
        coalesce(buyers.purchase_day_count, 0) as purchase_day_count,
        buyers.hiatus_days,
        buyers.expected_gap_days_total,
        buyers.expected_gap_count,
        coalesce(buyers.value_at_stake, 0) as value_at_stake,
        case
            when buyers.customer_id is null then 'prospect_never_bought'
            when buyers.hiatus_days > {{ lost_days }} then 'lost_over_threshold'
            when
                3 * buyers.hiatus_days > {{ lost_days }}
                and buyers.hiatus_days * buyers.expected_gap_count
                > {{ var('alarm_gap_count') }} * buyers.expected_gap_days_total
                then 'alarm_over_own_rhythm'
            -- Whoever has shown no rhythm, or a slow one, is in alarm before they are lost.
            when 3 * buyers.hiatus_days > 2 * {{ lost_days }} then 'alarm_over_two_thirds'
            when
                buyers.purchase_day_count = 1
                and buyers.hiatus_days <= {{ var('new_customer_days') }}
                and 3 * buyers.hiatus_days <= {{ lost_days }}
                then 'new_first_purchase'
            when
                buyers.purchase_day_count >= {{ var('evergreen_purchase_days') }}
                and 2 * buyers.expected_gap_days_total
                <= {{ lost_days }} * buyers.expected_gap_count
                then 'evergreen_steady_rhythm'
            else 'vulnerable_no_rhythm'
        end as rule_id
    from known_customers
    left join buyers on known_customers.customer_id = buyers.customer_id

),

final as (

    select
        customer_id,
        known_on,
        first_purchase_on,
        last_purchase_on,
        purchase_day_count,
        hiatus_days,
        cast(
            {{ quotient('expected_gap_days_total', 'expected_gap_count', 2) }} as decimal(18, 2)
        ) as expected_gap_days,
        value_at_stake,
        rule_id,
        case
            when rule_id = 'prospect_never_bought' then 'prospect'
            when rule_id = 'lost_over_threshold' then 'lost'
            when rule_id in ('alarm_over_two_thirds', 'alarm_over_own_rhythm') then 'alarm'
            when rule_id = 'new_first_purchase' then 'new'
            when rule_id = 'evergreen_steady_rhythm' then 'evergreen'
            when rule_id = 'vulnerable_no_rhythm' then 'vulnerable'
        end as lifecycle_stage
    from ruled

)

select * from final
