{%- set measures = (
    'bias', 'mae', 'rmse', 'correlation', 'predicted_repurchased_count', 'brier', 'auc',
    'top_decile_lift', 'brier_difference', 'brier_difference_low', 'brier_difference_high',
    'rmse_difference', 'rmse_difference_low', 'rmse_difference_high'
) -%}

with quality as (

    select * from {{ source('scores', 'model_quality') }}

),

final as (

    select
        horizon_days,
        cutoff_on,
        purpose,
        model,
        cast(customer_count as integer) as customer_count,
        cast(actual_count as integer) as actual_count,
        {{ rounded('predicted_count', 2) }} as predicted_count,
        cast(repurchased_count as integer) as repurchased_count,
        {% for measure in measures %}
            {{ rounded(measure, 6) }} as {{ measure }},
        {% endfor %}
        parameters,
        {{ rounded('log_likelihood', 4) }} as log_likelihood,
        {{ rounded('log_likelihood_gain', 4) }} as log_likelihood_gain,
        note
    from quality

)

select * from final
