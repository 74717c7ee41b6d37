{%- set kept_share = "(1 - " ~ var('decline_share') ~ ")" -%}

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
        first_purchased_on,
        revenue_to_date,
        quantity_to_date,
        line_count_to_date,
        lag(purchased_on, 2) over purchases as two_before_on,
        lag(revenue_to_date, 2) over purchases as revenue_two_before,
        lag(quantity_to_date, 2) over purchases as quantity_two_before,
        lag(line_count_to_date, 2) over purchases as line_count_two_before,
        first_value(revenue_to_date) over purchases as first_revenue,
        first_value(quantity_to_date) over purchases as first_quantity,
        first_value(line_count_to_date) over purchases as first_line_count
    from purchase_days
    window purchases as (partition by customer_id order by purchased_on nulls last)

),

compared as (

    -- Revenue and quantity a day: fewer purchases count as much as smaller ones. The earlier
    -- cycles begin after the first purchase day, as the later ones do after theirs.
    {% for alert_type, metric in {'value_down': 'revenue', 'volume_down': 'quantity'}.items() %}
        select
            customer_id,
            purchased_on,
            purchase_number,
            '{{ alert_type }}' as alert_type,
            {{ float_quotient(
                '30 * (' ~ metric ~ '_two_before - first_' ~ metric ~ ')',
                days_between('first_purchased_on', 'two_before_on'),
            ) }} as baseline,
            {{ float_quotient(
                '30 * (' ~ metric ~ '_to_date - ' ~ metric ~ '_two_before)',
                days_between('two_before_on', 'purchased_on'),
            ) }} as observed
        from cycles
        where purchase_number >= 5 and {{ metric }}_two_before > first_{{ metric }}

        union all

    {% endfor %}
    select
        customer_id,
        purchased_on,
        purchase_number,
        'basket_narrowing' as alert_type,
        {{ float_quotient('(line_count_two_before - first_line_count)', 'purchase_number - 3') }}
            as baseline,
        {{ float_quotient('(line_count_to_date - line_count_two_before)', '2') }} as observed
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
    -- A basket of one line cannot narrow; the tolerance keeps floats from deciding a tie.
    where
        observed < {{ kept_share }} * baseline - 1e-9
        and (alert_type <> 'basket_narrowing' or baseline >= 2)

)

select * from final
