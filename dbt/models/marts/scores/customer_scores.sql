with scores as (

    select * from {{ source('scores', 'customer_scores') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

final as (

    select
        scores.customer_id,
        {{ rounded('scores.probability_alive', 6) }} as probability_alive,
        {{ rounded('scores.repurchase_probability_90d', 6) }} as repurchase_probability_90d,
        {% for days in var("score_horizons") -%}
            {{ rounded("scores.expected_purchase_days_" ~ days ~ "d", 6) }}
                as expected_purchase_days_{{ days }}d,
        {% endfor -%}
        {{ plus_days(as_of_date(), 'scores.days_to_next_purchase') }} as expected_next_purchase_on,
        {{ rounded('scores.expected_order_value', 2) }} as expected_order_value,
        {{ rounded('scores.clv_365d', 2) }} as clv_365d,
        {{ rounded('scores.clv_365d_low', 2) }} as clv_365d_low,
        {{ rounded('scores.clv_365d_high', 2) }} as clv_365d_high,
        {{ rounded('greatest(buyers.value_at_stake, 0) * (1 - scores.repurchase_probability_90d)', 2) }}
            as revenue_at_risk,
        '{{ var("currency") }}' as currency,
        scores.note
    from scores
    inner join buyers on scores.customer_id = buyers.customer_id

)

select * from final
