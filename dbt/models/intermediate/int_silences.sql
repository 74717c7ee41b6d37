{%- set basis = var('churn_basis') -%}
{%- set has_seasons = 'season' in (var('churn_definitions') | map(attribute='method')) -%}

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
        purchase_number,
        purchased_on as last_purchase_on,
        next_purchased_on,
        value_at_stake
    from purchase_days

),
{%- else -%}
interaction_days as (

    select
        interaction_days.customer_id,
        interaction_days.interacted_on as active_on,
        false as is_purchase
    from {{ ref('int_interaction_days') }} as interaction_days
    inner join {{ ref('int_buyers') }} as buyers
        on interaction_days.customer_id = buyers.customer_id
    where interaction_days.interacted_on > buyers.first_purchase_on

),

purchases as (

    select
        customer_id,
        purchased_on as active_on,
        true as is_purchase
    from purchase_days
    {% if basis == 'interaction' %}
        -- The relationship begins with a purchase, and where a source has no interactions at all
        -- purchases have to do.
        where purchase_number = 1 or not exists (select 1 from {{ ref('int_interaction_days') }})
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

activities as (

    select
        active_days.customer_id,
        active_days.active_on,
        purchase_days.purchase_number,
        purchase_days.purchased_on as last_purchase_on,
        purchase_days.next_purchased_on,
        purchase_days.value_at_stake
    from active_days
    -- The latest purchase by then.
    inner join purchase_days
        on
            active_days.customer_id = purchase_days.customer_id
            and active_days.active_on >= purchase_days.purchased_on
            and (
                active_days.active_on < purchase_days.next_purchased_on
                or purchase_days.next_purchased_on is null
            )

),
{%- endif %}

measured as (

    select
        *,
        lead(active_on) over activities as ended_on,
        -- The expected gap is this quotient: the customer's own gaps and two typical ones, which
        -- steady it while there are few. Kept apart so that rules compare whole numbers.
        cast(
            {{ days_between('first_value(active_on) over activities', 'active_on') }}
            + 2 * {{ var('typical_gap_days') }} as integer
        ) as expected_gap_days_total,
        cast(row_number() over activities + 1 as integer) as expected_gap_count
    from activities
    window activities as (partition by customer_id order by active_on nulls last)

),

final as (

    select
        measured.customer_id,
        measured.active_on as started_on,
        measured.ended_on,
        measured.purchase_number as purchase_day_count,
        measured.last_purchase_on,
        measured.next_purchased_on,
        measured.value_at_stake,
        measured.expected_gap_days_total,
        measured.expected_gap_count,
        {% if has_seasons -%}
            seasons.passed_on as season_passed_on
        {%- else -%}
            cast(null as date) as season_passed_on
        {%- endif %}
    from measured
    {% if has_seasons %}
        left join {{ ref('int_seasons') }} as seasons
            on
                measured.active_on >= seasons.silences_from
                and measured.active_on < seasons.silences_before
    {% endif %}

)

select * from final
