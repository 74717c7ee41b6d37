with load_days as (

    select * from {{ source('raw', 'load_days') }}

),

final as (

    select
        source_file,
        ordered_on,
        batch_id
    from load_days

)

select * from final
