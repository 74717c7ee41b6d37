{%- set dated_records = {
    'int_customer_days': 'greatest(ordered_on, ' ~ first_day() ~ ')',
    'stg_customers': 'signed_up_on',
    'stg_customer_attributes': 'cast(null as date)',
    'stg_customer_tags': 'tagged_on',
    'stg_consents': 'granted_on',
    'stg_interactions': 'occurred_on',
    'stg_campaign_responses': 'responded_on',
    'stg_exit_surveys': 'answered_on',
} -%}

-- A customer is known from the first dated record of theirs in any table. A record without a date
-- makes them known, but since when nobody can say. An excluded line may be dated before the data
-- begin; it makes them known from the first day on.
with campaign_contacts as (

    select * from {{ ref('stg_campaign_contacts') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

sightings as (

    -- A contact without a date of its own cannot be earlier than its campaign.
    select
        campaign_contacts.customer_id,
        coalesce(campaign_contacts.contacted_on, campaigns.started_on) as seen_on
    from campaign_contacts
    left join campaigns on campaign_contacts.campaign_id = campaigns.campaign_id
    {% for model, seen_on in dated_records.items() %}

        union all

        select
            customer_id,
            {{ seen_on }} as seen_on
        from {{ ref(model) }}
    {% endfor %}

),

final as (

    select
        customer_id,
        min(seen_on) as known_on,
        -- Whoever has a record without a date is known on every day there is data for.
        case
            when bool_or(seen_on is null) and (min(seen_on) is null or min(seen_on) > {{ first_day() }})
                then {{ first_day() }}
            else min(seen_on)
        end as history_starts_on
    from sightings
    where seen_on is null or seen_on <= {{ as_of_date() }}
    group by customer_id

)

select * from final
