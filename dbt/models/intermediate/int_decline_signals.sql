{%- set kept_share = "(1 - " ~ var('decline_share') ~ ")" -%}
{%- set metrics = {
    'value_down': 'revenue', 'volume_down': 'quantity', 'basket_narrowing': 'line_count',
} -%}

-- Purchase days at whose end the last two of the customer's own cycles (from one purchase day to
-- the next) are down against all cycles before them. Two earlier cycles at least make a baseline.
with purchase_days as (

    select purchase_days.*
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join {{ ref('int_buyers') }} as buyers
        on purchase_days.customer_id = buyers.customer_id
    where buyers.purchase_day_count >= 5

),

cycles as (

    select
        customer_id,
        purchased_on,
        purchase_number,
        {{ days_between('lag(purchased_on, 2) over purchases', 'purchased_on') }} as recent_days,
        {{ days_between(
            'first_value(purchased_on) over purchases', 'lag(purchased_on, 2) over purchases'
        ) }} as earlier_days,
        {% for metric in metrics.values() %}
            {{ metric }}_to_date - lag({{ metric }}_to_date, 2) over purchases
                as recent_{{ metric }},
            lag({{ metric }}_to_date, 2) over purchases
            - first_value({{ metric }}_to_date) over purchases as earlier_{{ metric }}
            {{- "," if not loop.last }}
        {% endfor %}
    from purchase_days
    window purchases as (partition by customer_id order by purchased_on nulls last)

),

compared as (

    -- Revenue and quantity a day: fewer purchases count as much as smaller ones. The earlier
    -- cycles begin after the first purchase day, as the later ones do after theirs.
    {% for alert_type in ('value_down', 'volume_down') %}
        {%- set metric = metrics[alert_type] %}
        select
            customer_id,
            purchased_on,
            purchase_number,
            '{{ alert_type }}' as alert_type,
            {{ float_quotient('30 * earlier_' ~ metric, 'earlier_days') }} as baseline,
            {{ float_quotient('30 * recent_' ~ metric, 'recent_days') }} as observed
        from cycles
        where purchase_number >= 5 and earlier_{{ metric }} > 0

        union all

    {% endfor %}
    select
        customer_id,
        purchased_on,
        purchase_number,
        'basket_narrowing' as alert_type,
        {{ float_quotient('earlier_line_count', 'purchase_number - 3') }} as baseline,
        {{ float_quotient('recent_line_count', '2') }} as observed
    from cycles
    where purchase_number >= 5

),

final as (

    select
        customer_id,
        purchased_on,
        purchase_number,
        alert_type,
        purchased_on as signalled_on,
        {{ rounded('baseline', 4) }} as baseline,
        {{ rounded('observed', 4) }} as observed,
        {{ rounded(kept_share ~ ' * baseline', 4) }} as threshold
    from compared
    -- A basket of one line cannot narrow by half; the tolerance keeps floats from deciding a tie.
    where
        observed < {{ kept_share }} * baseline + 1e-9
        and (alert_type <> 'basket_narrowing' or baseline >= 2)

)

select * from final
