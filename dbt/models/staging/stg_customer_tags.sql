with customer_tags as (

    select * from {{ source('raw', 'customer_tags') }}

),

final as (

    select
        customer_id,
        {{ business_date('tagged_at') }} as tagged_on
    from customer_tags

)

select * from final
