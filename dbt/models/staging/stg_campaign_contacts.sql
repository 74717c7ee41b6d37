with campaign_contacts as (

    select * from {{ source('raw', 'campaign_contacts') }}

),

final as (

    select
        campaign_id,
        customer_id,
        {{ business_date('contacted_at') }} as contacted_on
    from campaign_contacts

)

select * from final
