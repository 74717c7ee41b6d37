with forecasts as (

    select * from {{ source('scores', 'value_forecasts') }}

),

final as (

    select
        segment,
        segment_value,
        cast(customer_count as integer) as customer_count,
        {{ rounded('clv_365d', 2) }} as clv_365d,
        {{ rounded('clv_365d_low', 2) }} as clv_365d_low,
        {{ rounded('clv_365d_high', 2) }} as clv_365d_high,
        '{{ var("currency") }}' as currency
    from forecasts

)

select * from final
