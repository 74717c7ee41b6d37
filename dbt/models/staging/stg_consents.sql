with consents as (

    select * from {{ source('raw', 'consents') }}

),

final as (

    select
        customer_id,
        {{ business_date('granted_at') }} as granted_on
    from consents

)

select * from final
