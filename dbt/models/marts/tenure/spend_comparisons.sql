{%- set minimum_customers = 30 -%}

with buyers as (

    select * from {{ ref('int_buyers') }}

),

tenures as (

    select * from {{ ref('int_tenures') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

lost_months as (

    select * from {{ ref('int_lost_tenure_months') }}

),

lost_at_end_of_year_3 as (

    select customer_id
    from lost_months
    where first_lost_month <= 35 and (regained_month > 35 or regained_month is null)

),

dated_days as (

    select
        customer_days.customer_id,
        customer_days.ordered_on = tenures.first_purchase_on as is_first_purchase,
        {{ tenure_months(days_between('tenures.first_purchase_on', 'customer_days.ordered_on')) }}
            as tenure_month,
        customer_days.net_revenue
    from customer_days
    inner join tenures on customer_days.customer_id = tenures.customer_id
    where customer_days.ordered_on >= tenures.first_purchase_on

),

revenue as (

    select
        customer_id,
        sum(net_revenue) filter (where is_first_purchase) as first_purchase_revenue,
        sum(net_revenue) filter (where tenure_month < 6) as first_half_year_revenue,
        sum(net_revenue) filter (where tenure_month between 24 and 35) as third_year_revenue,
        sum(net_revenue) as revenue_to_date
    from dated_days
    group by customer_id

),

customers as (

    select
        revenue.first_purchase_revenue,
        revenue.first_half_year_revenue,
        coalesce(revenue.third_year_revenue, 0) as third_year_revenue,
        revenue.revenue_to_date,
        tenures.observed_month_count >= 36 as is_observed_for_3_years,
        tenures.observed_month_count >= 36 and lost_at_end_of_year_3.customer_id is null
            as is_survivor_of_3_years,
        buyers.purchase_day_count >= {{ var('client_purchase_days') }} as is_client
    from revenue
    inner join tenures on revenue.customer_id = tenures.customer_id
    inner join buyers on revenue.customer_id = buyers.customer_id
    left join lost_at_end_of_year_3 on revenue.customer_id = lost_at_end_of_year_3.customer_id

),

{% set years = {
    'year_3_to_first_6_months': ('is_observed_for_3_years', 'customers observed for three years'),
    'year_3_to_first_6_months_of_survivors': (
        'is_survivor_of_3_years', 'customers observed for three years and not lost at their end'
    ),
} -%}
sums as (

    {% for comparison, (condition, who) in years.items() %}
        select
            '{{ comparison }}' as comparison,
            'a month of the first 6 months, {{ who }}' as base_description,
            'a month of year 3, the same customers' as compared_description,
            '{{ who }}' as too_few_of,
            count(*) filter (where {{ condition }}) as base_customer_count,
            count(*) filter (where {{ condition }}) as compared_customer_count,
            6 as base_months,
            12 as compared_months,
            sum(first_half_year_revenue) filter (where {{ condition }}) as base_net_revenue,
            sum(third_year_revenue) filter (where {{ condition }}) as compared_net_revenue
        from customers

        union all

    {% endfor %}
    select
        'client_to_first_purchase' as comparison,
        'the first purchase day, everybody who has bought' as base_description,
        'all purchases to the as-of date, customers with {{ var("client_purchase_days") }} or more purchase days'
            as compared_description,
        'customers with {{ var("client_purchase_days") }} or more purchase days' as too_few_of,
        count(*) as base_customer_count,
        count(*) filter (where is_client) as compared_customer_count,
        1 as base_months,
        1 as compared_months,
        sum(first_purchase_revenue) as base_net_revenue,
        sum(revenue_to_date) filter (where is_client) as compared_net_revenue
    from customers

),

checked as (

    select
        *,
        compared_customer_count >= {{ minimum_customers }} as is_enough
    from sums

),

final as (

    select
        comparison,
        base_description,
        compared_description,
        cast(base_customer_count as integer) as base_customer_count,
        cast(compared_customer_count as integer) as compared_customer_count,
        case
            when is_enough
                then {{ amount_per('base_net_revenue', '(base_customer_count * base_months)') }}
        end as base_net_revenue_per_customer,
        case
            when is_enough
                then {{ amount_per(
                    'compared_net_revenue', '(compared_customer_count * compared_months)'
                ) }}
        end as compared_net_revenue_per_customer,
        '{{ var("currency") }}' as currency,
        case
            when is_enough and base_net_revenue > 0
                then {{ rounded(
                    float_quotient(
                        float_quotient(
                            'compared_net_revenue', 'compared_customer_count * compared_months'
                        ),
                        float_quotient('base_net_revenue', 'base_customer_count * base_months'),
                    ), 4
                ) }}
        end as ratio,
        case
            when not is_enough
                then
                    'too few: ' || {{ as_text('compared_customer_count') }} || ' ' || too_few_of
                    || ', {{ minimum_customers }} needed'
            when base_net_revenue <= 0 then 'nothing to compare with: no revenue'
        end as note
    from checked

)

select * from final
