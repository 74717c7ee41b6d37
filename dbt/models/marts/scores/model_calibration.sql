with calibration as (

    select * from {{ source('scores', 'model_calibration') }}

),

final as (

    select
        horizon_days,
        cutoff_on,
        model,
        decile,
        cast(customer_count as integer) as customer_count,
        {{ rounded('predicted_rate', 6) }} as predicted_rate,
        {{ rounded('actual_rate', 6) }} as actual_rate
    from calibration

)

select * from final
