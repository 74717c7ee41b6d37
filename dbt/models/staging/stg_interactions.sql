with interactions as (

    select * from {{ source('raw', 'interactions') }}

),

final as (

    select
        customer_id,
        {{ business_date('occurred_at') }} as occurred_on
    from interactions

)

select * from final
