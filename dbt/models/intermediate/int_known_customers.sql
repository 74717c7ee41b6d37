-- A customer is known from the first dated record of theirs in any table. A record without a date
-- makes them known, but since when nobody can say.
with customer_days as (

    select * from {{ ref('int_customer_days') }}

),

campaign_contacts as (

    select * from {{ ref('stg_campaign_contacts') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

-- A contact without a date of its own cannot be earlier than its campaign.
dated_contacts as (

    select
        campaign_contacts.customer_id,
        coalesce(campaign_contacts.contacted_on, campaigns.started_on) as seen_on
    from campaign_contacts
    left join campaigns on campaign_contacts.campaign_id = campaigns.campaign_id

),

sightings as (

    select
        customer_id,
        min(ordered_on) as seen_on
    from customer_days
    group by customer_id

    union all

    select
        customer_id,
        seen_on
    from dated_contacts

    union all

    select
        customer_id,
        signed_up_on
    from {{ ref('stg_customers') }}

    union all

    select
        customer_id,
        cast(null as date)
    from {{ ref('stg_customer_attributes') }}

    union all

    select
        customer_id,
        tagged_on
    from {{ ref('stg_customer_tags') }}

    union all

    select
        customer_id,
        granted_on
    from {{ ref('stg_consents') }}

    union all

    select
        customer_id,
        occurred_on
    from {{ ref('stg_interactions') }}

    union all

    select
        customer_id,
        responded_on
    from {{ ref('stg_campaign_responses') }}

    union all

    select
        customer_id,
        answered_on
    from {{ ref('stg_exit_surveys') }}

),

final as (

    select
        customer_id,
        min(seen_on) as known_on
    from sightings
    where seen_on is null or seen_on <= {{ as_of_date() }}
    group by customer_id

)

select * from final
