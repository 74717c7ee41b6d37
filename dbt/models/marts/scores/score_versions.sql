with versions as (

    select * from {{ source('scores', 'score_versions') }}

),

final as (

    select
        score,
        model,
        is_chosen,
        reason,
        parameters,
        {{ rounded('log_likelihood', 4) }} as log_likelihood,
        {{ rounded('log_likelihood_gain', 4) }} as log_likelihood_gain,
        cast(customer_count as integer) as customer_count,
        cast(repeat_customer_count as integer) as repeat_customer_count,
        data_from,
        data_to
    from versions

)

select * from final
