with campaigns as (

    select * from {{ source('raw', 'campaigns') }}

),

final as (

    select
        campaign_id,
        started_on
    from campaigns

)

select * from final
