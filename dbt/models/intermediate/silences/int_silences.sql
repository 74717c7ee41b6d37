{%- set basis = var('churn_basis') -%}
{%- set has_seasons = 'season' in (var('churn_definitions') | map(attribute='method')) -%}
{#- Where purchases alone count, the purchase days say it all and nothing needs to be stored. -#}
{%- set is_projection = basis == 'purchase' and not has_seasons -%}
{{ config(materialized={true: 'view', false: 'table'}[is_projection]) }}

-- depends_on: {{ ref('int_seasons') }}, {{ ref('int_interaction_days') }}, {{ ref('int_buyers') }}
-- A silence begins with an activity of a buyer and ends before the next. What counts as activity is
-- the basis of the source's churn definition. Later models only ask how long a silence may last.
with purchase_days as (

    select * from {{ ref('int_purchase_days') }}

),

{% if basis == 'purchase' -%}
    activities as (

        select
            customer_id,
            purchased_on as active_on,
            purchase_number as activity_number,
            first_purchased_on as first_active_on,
            next_purchased_on as next_active_on,
            purchase_number,
            purchased_on,
            next_purchased_on,
            value_at_stake,
            margin_at_stake,
            expected_value_at_stake
        from purchase_days

    ),
{%- else -%}
    interaction_days as (

        select
            interaction_days.customer_id,
            interaction_days.interacted_on as active_on
        from {{ ref('int_interaction_days') }} as interaction_days
        inner join {{ ref('int_buyers') }} as buyers
            on interaction_days.customer_id = buyers.customer_id
        where interaction_days.interacted_on > buyers.first_purchase_on

    ),

    purchases as (

        select
            customer_id,
            purchased_on as active_on
        from purchase_days
        {% if basis == 'interaction' and var('has_interactions') %}
            -- The relationship begins with a purchase. Where a source has no interactions purchases
            -- have to do.
            where purchase_number = 1
        {% endif %}

    ),

    active_days as (

        select
            customer_id,
            active_on
        from purchases

        union distinct

        select
            customer_id,
            active_on
        from interaction_days

    ),

    numbered as (

        select
            customer_id,
            active_on,
            row_number() over activities as activity_number,
            first_value(active_on) over activities as first_active_on,
            lead(active_on) over activities as next_active_on
        from active_days
        window activities as (partition by customer_id order by active_on nulls last)

    ),

    activities as (

        select
            numbered.*,
            purchase_days.purchase_number,
            purchase_days.purchased_on,
            purchase_days.next_purchased_on,
            purchase_days.value_at_stake,
            purchase_days.margin_at_stake,
            purchase_days.expected_value_at_stake
        from numbered
        -- The latest purchase by then.
        inner join purchase_days
            on
                numbered.customer_id = purchase_days.customer_id
                and numbered.active_on >= purchase_days.purchased_on
                and (
                    numbered.active_on < purchase_days.next_purchased_on
                    or purchase_days.next_purchased_on is null
                )

    ),
{%- endif %}

final as (

    select
        activities.customer_id,
        activities.active_on as started_on,
        activities.next_active_on as ended_on,
        activities.purchase_number as purchase_day_count,
        activities.purchased_on as last_purchase_on,
        activities.next_purchased_on,
        activities.value_at_stake,
        activities.margin_at_stake,
        activities.expected_value_at_stake,
        -- The expected gap is this quotient: the customer's own gaps and two typical ones, which
        -- steady it while there are few. Kept apart so that rules compare whole numbers.
        cast(
            {{ days_between('activities.first_active_on', 'activities.active_on') }}
            + 2 * {{ var('typical_gap_days') }} as integer
        ) as expected_gap_days_total,
        cast(activities.activity_number + 1 as integer) as expected_gap_count,
        {% if has_seasons -%}
            seasons.passed_on as season_passed_on
        {%- else -%}
            cast(null as date) as season_passed_on
        {%- endif %}
    from activities
    {% if has_seasons %}
        left join {{ ref('int_seasons') }} as seasons
            on
                activities.active_on >= seasons.silences_from
                and activities.active_on < seasons.silences_before
    {% endif %}

)

select * from final
