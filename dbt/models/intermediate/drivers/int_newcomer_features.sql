-- What is known of customers after their first 30 days: numbers, and levels they belong to. A row
-- without a level says that the customer could have had one.
with sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

customer_records as (

    select * from {{ ref('int_customer_records') }}

),

newcomers as (

    select
        buyers.customer_id,
        buyers.first_purchase_on,
        buyers.second_purchase_on,
        first_days.sale_amount,
        first_days.discount_amount,
        first_days.main_category,
        first_days.main_channel,
        customer_records.acquisition_source
    from buyers
    inner join sampled_customers on buyers.customer_id = sampled_customers.customer_id
    inner join customer_days as first_days
        on
            buyers.customer_id = first_days.customer_id
            and buyers.first_purchase_on = first_days.ordered_on
    left join customer_records on buyers.customer_id = customer_records.customer_id

),

events as (

    select
        customer_id,
        occurred_on,
        interaction_type as event_type
    from {{ ref('stg_interactions') }}

    union all

    select
        customer_id,
        responded_on as occurred_on,
        'campaign_response' as event_type
    from {{ ref('stg_campaign_responses') }}

    union all

    select
        campaign_contacts.customer_id,
        coalesce(campaign_contacts.contacted_on, campaigns.started_on) as occurred_on,
        'campaign_contact' as event_type
    from {{ ref('stg_campaign_contacts') }} as campaign_contacts
    left join {{ ref('stg_campaigns') }} as campaigns
        on campaign_contacts.campaign_id = campaigns.campaign_id

),

onboarding_events as (

    select distinct
        newcomers.customer_id,
        events.event_type
    from newcomers
    inner join events on newcomers.customer_id = events.customer_id
    where
        events.occurred_on >= newcomers.first_purchase_on
        and events.occurred_on <= {{ plus_days('newcomers.first_purchase_on', 30) }}
        and events.occurred_on <= {{ as_of_date() }}

),

final as (

    select
        customer_id,
        'first_basket_value' as feature,
        cast(null as {{ dbt.type_string() }}) as feature_level,
        cast(sale_amount as double) as feature_value
    from newcomers

    union all

    -- Of what the first purchase day would have cost without discounts.
    select
        customer_id,
        'first_discount_share' as feature,
        null as feature_level,
        {{ float_quotient('discount_amount', 'sale_amount + discount_amount') }} as feature_value
    from newcomers
    where sale_amount + discount_amount > 0

    union all

    select
        customer_id,
        'second_purchase_within_30d' as feature,
        null as feature_level,
        cast(
            case
                when second_purchase_on <= {{ plus_days('first_purchase_on', 30) }} then 1
                else 0
            end as double
        ) as feature_value
    from newcomers

    {% for feature, column in {
        'first_category': 'main_category',
        'first_channel': 'main_channel',
        'acquisition_source': 'acquisition_source',
    }.items() %}
        union all

        select
            customer_id,
            '{{ feature }}' as feature,
            {{ column }} as feature_level,
            null as feature_value
        from newcomers
        where {{ column }} is not null
    {% endfor %}

    union all

    select
        customer_id,
        'onboarding_event' as feature,
        event_type as feature_level,
        null as feature_value
    from onboarding_events

    union all

    select
        customer_id,
        'onboarding_event' as feature,
        null as feature_level,
        null as feature_value
    from newcomers
    where exists (
        select 1
        from events
        where events.occurred_on <= {{ as_of_date() }}
    )

)

select * from final
