{%- set interaction_scores = [
    'interaction_recency_score', 'interaction_frequency_score', 'interaction_variety_score',
    'interaction_answer_score',
] -%}
{%- set influence_scores = ['referral_score', 'review_score', 'survey_score'] -%}

with known_customers as (

    select * from {{ ref('int_known_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

customer_revenue as (

    select * from {{ ref('int_customer_revenue') }}

),

interactions as (

    select * from {{ ref('int_customer_interactions') }}

),

recent_purchases as (

    select
        customer_id,
        cast(count(*) as integer) as purchase_days_trailing_365d
    from {{ ref('int_purchase_days') }}
    where purchased_on > {{ plus_days(as_of_date(), -365) }}
    group by customer_id

),

purchases as (

    select
        buyers.customer_id,
        buyers.days_since_last_purchase,
        coalesce(recent_purchases.purchase_days_trailing_365d, 0) as purchase_days_trailing_365d,
        coalesce(customer_revenue.net_revenue_trailing_365d, 0) as net_revenue_trailing_365d
    from buyers
    left join recent_purchases on buyers.customer_id = recent_purchases.customer_id
    left join customer_revenue on buyers.customer_id = customer_revenue.customer_id

),

scored_purchases as (

    select
        *,
        {{ power_score('days_since_last_purchase', 'days_since_last_purchase is not null', 'desc') }}
            as purchase_recency_score,
        {{ power_score('purchase_days_trailing_365d', 'purchase_days_trailing_365d > 0') }}
            as purchase_frequency_score,
        {{ power_score('net_revenue_trailing_365d', 'net_revenue_trailing_365d > 0') }}
            as purchase_monetary_score
    from purchases

),

rated_interactions as (

    select
        *,
        case
            when contacts_trailing_365d > 0
                then {{ share('answers_trailing_365d', 'contacts_trailing_365d') }}
        end as answer_rate
    from interactions

),

scored_interactions as (

    select
        *,
        {{ power_score('days_since_last_interaction', 'days_since_last_interaction is not null', 'desc') }}
            as interaction_recency_score,
        {{ power_score('interaction_days_trailing_365d', 'interaction_days_trailing_365d > 0') }}
            as interaction_frequency_score,
        {{ power_score('interaction_types_trailing_365d', 'interaction_types_trailing_365d > 0') }}
            as interaction_variety_score,
        case
            when contacts_trailing_365d > 0
                then {{ power_score('answer_rate', 'answers_trailing_365d > 0') }}
        end as interaction_answer_score,
        {{ power_score('referral_count', 'referral_count > 0') }} as referral_score,
        {{ power_score('review_count', 'review_count > 0') }} as review_score,
        {{ power_score('mean_survey_answer', 'mean_survey_answer is not null') }} as survey_score
    from rated_interactions

),

-- What the source tells of anybody. Zero says that a customer did nothing; where nobody did, the
-- source does not tell.
available as (

    select
        count(days_since_last_interaction) > 0 as has_interactions,
        -- Of a single type, everybody has the same variety.
        count(*) filter (where interaction_types_trailing_365d > 1) > 0 as has_variety,
        count(*) filter (where referral_count > 0) > 0 as has_referrals,
        count(*) filter (where review_count > 0) > 0 as has_reviews,
        count(mean_survey_answer) > 0 as has_surveys
    from interactions

),

components as (

    select
        known_customers.customer_id,
        scored_purchases.days_since_last_purchase,
        coalesce(scored_purchases.purchase_recency_score, 0) as purchase_recency_score,
        coalesce(scored_purchases.purchase_days_trailing_365d, 0) as purchase_days_trailing_365d,
        coalesce(scored_purchases.purchase_frequency_score, 0) as purchase_frequency_score,
        coalesce(customer_revenue.net_revenue_trailing_365d, 0) as net_revenue_trailing_365d,
        coalesce(scored_purchases.purchase_monetary_score, 0) as purchase_monetary_score,
        interactions.days_since_last_interaction,
        {% for column, is_available in {
            'interaction_recency_score': 'has_interactions',
            'interaction_days_trailing_365d': 'has_interactions',
            'interaction_frequency_score': 'has_interactions',
            'interaction_types_trailing_365d': 'has_interactions',
            'interaction_variety_score': 'has_variety',
            'referral_count': 'has_referrals',
            'referral_score': 'has_referrals',
            'review_count': 'has_reviews',
            'review_score': 'has_reviews',
            'survey_score': 'has_surveys',
        }.items() %}
            case when available.{{ is_available }} then coalesce(interactions.{{ column }}, 0) end
                as {{ column }},
        {% endfor %}
        interactions.answer_rate,
        case when available.has_interactions then interactions.interaction_answer_score end
            as interaction_answer_score,
        interactions.mean_survey_answer
    from known_customers
    cross join available
    left join scored_purchases on known_customers.customer_id = scored_purchases.customer_id
    left join customer_revenue on known_customers.customer_id = customer_revenue.customer_id
    left join scored_interactions as interactions
        on known_customers.customer_id = interactions.customer_id

),

final as (

    select
        customer_id,
        {{ mean_of_known_scores([
            'purchase_recency_score', 'purchase_frequency_score', 'purchase_monetary_score',
        ]) }} as purchase_power,
        days_since_last_purchase,
        cast(purchase_recency_score as decimal(5, 2)) as purchase_recency_score,
        cast(purchase_days_trailing_365d as integer) as purchase_days_trailing_365d,
        cast(purchase_frequency_score as decimal(5, 2)) as purchase_frequency_score,
        cast(net_revenue_trailing_365d as decimal(18, 2)) as net_revenue_trailing_365d,
        cast(purchase_monetary_score as decimal(5, 2)) as purchase_monetary_score,
        '{{ var("currency") }}' as currency,
        {{ mean_of_known_scores(interaction_scores) }} as interaction_power,
        days_since_last_interaction,
        cast(interaction_recency_score as decimal(5, 2)) as interaction_recency_score,
        cast(interaction_days_trailing_365d as integer) as interaction_days_trailing_365d,
        cast(interaction_frequency_score as decimal(5, 2)) as interaction_frequency_score,
        cast(interaction_types_trailing_365d as integer) as interaction_types_trailing_365d,
        cast(interaction_variety_score as decimal(5, 2)) as interaction_variety_score,
        cast(answer_rate as decimal(9, 6)) as answer_rate,
        cast(interaction_answer_score as decimal(5, 2)) as interaction_answer_score,
        case
            when coalesce({{ interaction_scores | join(', ') }}) is null
                then 'the source tells of no interactions by customers'
        end as interaction_note,
        {{ mean_of_known_scores(influence_scores) }} as influence_power,
        cast(referral_count as integer) as referral_count,
        cast(referral_score as decimal(5, 2)) as referral_score,
        cast(review_count as integer) as review_count,
        cast(review_score as decimal(5, 2)) as review_score,
        mean_survey_answer,
        cast(survey_score as decimal(5, 2)) as survey_score,
        case
            when coalesce({{ influence_scores | join(', ') }}) is null
                then 'the source tells of no referrals, reviews or survey scores'
        end as influence_note
    from components

)

select * from final
