with interactions as (

    select * from {{ source('raw', 'interactions') }}

),

final as (

    select
        customer_id,
        {{ business_date('occurred_at') }} as occurred_on,
        interaction_type,
        score,
        interaction_type = 'referral' as is_referral,
        -- What the customer did, and not what the firm did to them.
        interaction_type in (
            'visit', 'login', 'message_opened', 'message_clicked', 'complaint', 'ticket', 'review',
            'survey', 'contact_request', 'referral', 'cart_abandoned'
        )
        or (interaction_type = 'call' and direction is distinct from 'outbound') as is_by_customer
    from interactions

)

select * from final
