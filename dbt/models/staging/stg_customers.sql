with customers as (

    select * from {{ source('raw', 'customers') }}

),

final as (

    select
        customer_id,
        {{ business_date('signed_up_at') }} as signed_up_on,
        acquisition_source,
        region
    from customers

)

select * from final
