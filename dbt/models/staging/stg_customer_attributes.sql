with customer_attributes as (

    select * from {{ source('raw', 'customer_attributes') }}

),

final as (

    select customer_id
    from customer_attributes

)

select * from final
