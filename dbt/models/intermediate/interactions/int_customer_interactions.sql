{%- set year_begins = plus_days(as_of_date(), -365) -%}

-- What customers did besides buying, how they answer what the firm sends, and what they say to
-- others. What the firm sent counts as contacts and never as theirs.
with events as (

    select
        customer_id,
        occurred_on,
        is_by_customer,
        interaction_type,
        case when interaction_type = 'survey' then score end as survey_score,
        interaction_type = 'message_sent' as is_message,
        interaction_type = 'message_opened' as is_opened,
        cast(null as {{ dbt.type_string() }}) as contacted_campaign_id,
        cast(null as {{ dbt.type_string() }}) as answered_campaign_id
    from {{ ref('stg_interactions') }}

    union all

    select
        customer_id,
        responded_on as occurred_on,
        true as is_by_customer,
        'campaign_response' as interaction_type,
        null as survey_score,
        false as is_message,
        false as is_opened,
        null as contacted_campaign_id,
        campaign_id as answered_campaign_id
    from {{ ref('stg_campaign_responses') }}

    union all

    select
        customer_id,
        answered_on as occurred_on,
        true as is_by_customer,
        'exit_survey' as interaction_type,
        null as survey_score,
        false as is_message,
        false as is_opened,
        null as contacted_campaign_id,
        null as answered_campaign_id
    from {{ ref('stg_exit_surveys') }}

    union all

    select
        campaign_contacts.customer_id,
        coalesce(campaign_contacts.contacted_on, campaigns.started_on) as occurred_on,
        false as is_by_customer,
        'campaign_contact' as interaction_type,
        null as survey_score,
        false as is_message,
        false as is_opened,
        campaign_contacts.campaign_id as contacted_campaign_id,
        null as answered_campaign_id
    from {{ ref('stg_campaign_contacts') }} as campaign_contacts
    left join {{ ref('stg_campaigns') }} as campaigns
        on campaign_contacts.campaign_id = campaigns.campaign_id

),

counted as (

    select
        customer_id,
        max(occurred_on) filter (where is_by_customer) as last_interaction_on,
        count(distinct occurred_on) filter (
            where is_by_customer and occurred_on > {{ year_begins }}
        ) as interaction_day_count,
        count(distinct interaction_type) filter (
            where is_by_customer and occurred_on > {{ year_begins }}
        ) as interaction_type_count,
        count(*) filter (where is_message and occurred_on > {{ year_begins }})
        + count(distinct contacted_campaign_id) filter (where occurred_on > {{ year_begins }})
            as contact_count,
        count(*) filter (where is_opened and occurred_on > {{ year_begins }})
        + count(distinct answered_campaign_id) filter (where occurred_on > {{ year_begins }})
            as answer_count,
        count(*) filter (where interaction_type = 'referral') as referral_count,
        count(*) filter (where interaction_type = 'review') as review_count,
        count(survey_score) as survey_count,
        coalesce(sum(survey_score), 0) as survey_score_total
    from events
    where occurred_on <= {{ as_of_date() }}
    group by customer_id

),

final as (

    select
        customer_id,
        cast({{ days_between('last_interaction_on', as_of_date()) }} as integer)
            as days_since_last_interaction,
        cast(interaction_day_count as integer) as interaction_days_trailing_365d,
        cast(interaction_type_count as integer) as interaction_types_trailing_365d,
        cast(contact_count as integer) as contacts_trailing_365d,
        -- A message opened twice is answered once.
        cast(least(answer_count, contact_count) as integer) as answers_trailing_365d,
        cast(referral_count as integer) as referral_count,
        cast(review_count as integer) as review_count,
        case
            when survey_count > 0
                then {{ rounded(float_quotient('survey_score_total', 'survey_count'), 4) }}
        end as mean_survey_answer
    from counted

)

select * from final
