{%- set periods = {
    'lifetime': 'true',
    'trailing_365d': 'ordered_on > ' ~ plus_days(as_of_date(), -365),
    'trailing_90d': 'ordered_on > ' ~ plus_days(as_of_date(), -90),
    'last_active_year':
        'ordered_on > ' ~ plus_days('last_purchase_on', -365) ~ ' and ordered_on <= last_purchase_on',
} -%}
{#- What a source does not tell is unknown and not zero. -#}
{%- set discounts = 'discount_amount' if var('has_discounts') else 'cast(null as decimal(18, 2))' -%}
{%- set amounts = (
    'net_revenue', 'margin', 'sale_amount', 'discount_amount', 'return_amount',
    'adjustment_amount', 'order_count',
) -%}

with customers as (

    select customer_id from {{ ref('int_known_customers') }}

),

customer_days as (

    select
        customer_days.*,
        buyers.last_purchase_on
    from {{ ref('int_customer_days') }} as customer_days
    left join {{ ref('int_buyers') }} as buyers
        on customer_days.customer_id = buyers.customer_id
    where customer_days.ordered_on <= {{ as_of_date() }}

),

-- One pass for all periods; a customer has a column for each, and a row for each only in the end.
totals as (

    select
        {% for period, is_within in periods.items() %}
            {% for amount in amounts %}
                sum({{ amount }}) filter (where {{ is_within }}) as {{ period }}_{{ amount }},
            {% endfor %}
            count_if(sale_line_count > 0 and {{ is_within }}) as {{ period }}_purchase_day_count,
        {% endfor %}
        customer_id
    from customer_days
    group by customer_id

),

by_period as (

    {% for period in periods %}
        select
            customers.customer_id,
            '{{ period }}' as period,
            {{ loop.index }} as period_order,
            {% for amount in amounts %}
                coalesce(totals.{{ period }}_{{ amount }}, 0) as {{ amount }},
            {% endfor %}
            coalesce(totals.{{ period }}_purchase_day_count, 0) as purchase_day_count
        from customers
        left join totals on customers.customer_id = totals.customer_id
        {{ "union all" if not loop.last }}
    {% endfor %}

),

final as (

    select
        customer_id,
        period,
        period_order,
        cast(net_revenue as decimal(18, 2)) as net_revenue,
        cast(margin as decimal(18, 2)) as margin,
        cast(order_count as integer) as order_count,
        cast(purchase_day_count as integer) as purchase_day_count,
        cast(sale_amount as decimal(18, 2)) as sale_amount,
        cast({{ discounts }} as decimal(18, 2)) as discount_amount,
        cast(return_amount as decimal(18, 2)) as return_amount,
        cast(adjustment_amount as decimal(18, 2)) as adjustment_amount,
        case when order_count > 0 then {{ amount_per('sale_amount', 'order_count') }} end
            as average_order_value,
        {{ amount_share(discounts, 'sale_amount + ' ~ discounts) }} as discount_share,
        {{ amount_share('return_amount', 'sale_amount') }} as return_share,
        '{{ var("currency") }}' as currency
    from by_period

)

select * from final
