{%- set is_by_interaction = var('churn_basis') == 'interaction' -%}

-- depends_on: {{ ref('int_purchase_days') }}
-- Every signal beside the silence it falls into, and what became of that.
with silences as (

    select * from {{ ref('int_silences_judged') }}

),

signals as (

    select * from {{ ref('int_decline_signals') }}

    union all

    select * from {{ ref('int_return_signals') }}

),

final as (

    select
        signals.customer_id,
        signals.purchased_on,
        signals.purchase_number,
        signals.alert_type,
        signals.signalled_on,
        signals.baseline,
        signals.observed,
        signals.threshold,
        {{ {true: 'purchase_days', false: 'silences'}[is_by_interaction] }}.next_purchased_on,
        silences.next_lost_on
    from signals
    inner join silences
        on
            signals.customer_id = silences.customer_id
            and signals.signalled_on >= silences.started_on
            and (signals.signalled_on < silences.ended_on or silences.ended_on is null)
            -- Whoever is lost already cannot be warned of.
            and signals.signalled_on < silences.lost_on
            {% if not is_by_interaction %}
                -- Purchases begin silences, so the one in question has this very purchase.
                and signals.purchased_on = silences.last_purchase_on
            {% endif %}
    {% if is_by_interaction %}
        inner join {{ ref('int_purchase_days') }} as purchase_days
            on
                signals.customer_id = purchase_days.customer_id
                and signals.purchased_on = purchase_days.purchased_on
    {% endif %}

)

select * from final
