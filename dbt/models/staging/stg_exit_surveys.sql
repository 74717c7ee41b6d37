with exit_surveys as (

    select * from {{ source('raw', 'exit_surveys') }}

),

final as (

    select
        customer_id,
        {{ business_date('answered_at') }} as answered_on
    from exit_surveys

)

select * from final
