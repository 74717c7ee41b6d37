-- What customers did after their first 30 days. Everybody is watched for as long: whoever has not
-- been a customer for so many days has no row.
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

newcomers as (

    select
        buyers.customer_id,
        buyers.first_purchase_on
    from buyers
    inner join sampled_customers on buyers.customer_id = sampled_customers.customer_id

),

later_days as (

    select
        newcomers.customer_id,
        {{ days_between('newcomers.first_purchase_on', 'customer_days.ordered_on') }}
            as tenure_days,
        customer_days.sale_line_count,
        customer_days.net_revenue
    from newcomers
    inner join customer_days on newcomers.customer_id = customer_days.customer_id
    where customer_days.ordered_on > {{ plus_days('newcomers.first_purchase_on', 30) }}

),

later as (

    select
        customer_id,
        max(
            case
                when sale_line_count > 0 and tenure_days <= {{ driver_outcomes().repeat_purchase }}
                    then 1
                else 0
            end
        ) as repeat_purchase,
        sum(net_revenue) filter (
            where tenure_days <= {{ driver_outcomes().later_net_revenue }}
        ) as later_net_revenue
    from later_days
    group by customer_id

),

final as (

    {% for outcome, last_day in driver_outcomes().items() %}
        select
            newcomers.customer_id,
            '{{ outcome }}' as outcome,
            cast(coalesce(later.{{ outcome }}, 0) as decimal(18, 2)) as outcome_value
        from newcomers
        left join later on newcomers.customer_id = later.customer_id
        where {{ plus_days('newcomers.first_purchase_on', last_day) }} <= {{ as_of_date() }}
        {{ "union all" if not loop.last }}
    {% endfor %}

)

select * from final
