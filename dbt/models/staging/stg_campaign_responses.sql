with campaign_responses as (

    select * from {{ source('raw', 'campaign_responses') }}

),

final as (

    select
        campaign_id,
        customer_id,
        {{ business_date('responded_at') }} as responded_on
    from campaign_responses

)

select * from final
