-- When customer and firm first met other than by a purchase, whoever began.
with interaction_days as (

    select * from {{ ref('int_interaction_days') }}

),

contacts as (

    select
        customer_id,
        occurred_on as contacted_on
    from {{ ref('stg_interactions') }}

    union all

    select
        customer_id,
        interacted_on as contacted_on
    from interaction_days

    union all

    select
        campaign_contacts.customer_id,
        coalesce(campaign_contacts.contacted_on, campaigns.started_on) as contacted_on
    from {{ ref('stg_campaign_contacts') }} as campaign_contacts
    left join {{ ref('stg_campaigns') }} as campaigns
        on campaign_contacts.campaign_id = campaigns.campaign_id

),

first_interactions as (

    select
        customer_id,
        min(interacted_on) as first_interaction_on,
        min(interacted_on) filter (where has_referral) as first_referral_on,
        max(interacted_on) as last_interaction_on
    from interaction_days
    group by customer_id

),

first_contacts as (

    select
        customer_id,
        min(contacted_on) as first_contact_on
    from contacts
    where contacted_on <= {{ as_of_date() }}
    group by customer_id

),

final as (

    select
        first_contacts.customer_id,
        first_contacts.first_contact_on,
        first_interactions.first_interaction_on,
        first_interactions.first_referral_on,
        first_interactions.last_interaction_on
    from first_contacts
    left join first_interactions on first_contacts.customer_id = first_interactions.customer_id

)

select * from final
