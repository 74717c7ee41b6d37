{%- set has_expected_value = 'expected_value' in (var('value_tiers') | map(attribute='measure')) -%}
{%- set purchase_class -%}
    case
        when purchase_number >= 10 then 10
        when purchase_number >= 5 then 5
        when purchase_number >= 3 then 3
        else purchase_number
    end
{%- endset -%}

-- Several orders on one day are one purchase day; a day of returns alone is none, but lowers the
-- value of the purchases that follow within a year.
with customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

-- All windows in one order, so that the days are sorted once.
valued as (

    select
        customer_id,
        ordered_on,
        sale_line_count,
        net_revenue,
        cast(
            sum(net_revenue) over (
                partition by customer_id
                order by ordered_on nulls last
                range between interval '364 days' preceding and current row
            ) as decimal(18, 2)
        ) as value_at_stake,
        cast(
            sum(margin) over (
                partition by customer_id
                order by ordered_on nulls last
                range between interval '364 days' preceding and current row
            ) as decimal(18, 2)
        ) as margin_at_stake,
        cast(
            sum(case when sale_line_count > 0 then 1 else 0 end) over so_far as integer
        ) as purchase_number,
        min(case when sale_line_count > 0 then ordered_on end) over so_far as first_purchased_on,
        min(case when sale_line_count > 0 then ordered_on end) over (
            partition by customer_id
            order by ordered_on nulls last
            rows between 1 following and unbounded following
        ) as next_purchased_on,
        cast(sum(net_revenue) over so_far as decimal(18, 2)) as revenue_to_date,
        cast(sum(coalesce(sale_quantity, 0)) over so_far as decimal(18, 3)) as quantity_to_date,
        cast(sum(sale_line_count) over so_far as bigint) as line_count_to_date
    from customer_days
    window so_far as (
        partition by customer_id
        order by ordered_on nulls last
        rows between unbounded preceding and current row
    )

),

purchase_days as (

    select
        customer_id,
        ordered_on as purchased_on,
        purchase_number,
        first_purchased_on,
        next_purchased_on,
        net_revenue,
        value_at_stake,
        margin_at_stake,
        revenue_to_date,
        quantity_to_date,
        line_count_to_date
    from valued
    where sale_line_count > 0

),

{% if has_expected_value -%}
    -- A year is looked ahead, or what the data allow.
    horizon as (

        select
            case
                when observed_days >= 365 then 365
                when observed_days >= 180 then 180
                when observed_days >= 90 then 90
            end as horizon_days
        from (
            select {{ days_between('min(purchased_on)', as_of_date()) }} as observed_days
            from purchase_days
        ) as observed

    ),

    class_returns as (

        select
            purchase_class,
            count(*) filter (where horizon_ends_on <= {{ as_of_date() }}) as followed_count,
            count(*) filter (
                where horizon_ends_on <= {{ as_of_date() }} and next_purchased_on <= horizon_ends_on
            ) as repurchased_count
        from (
            select
                {{ purchase_class }} as purchase_class,
                purchase_days.next_purchased_on,
                {{ plus_days('purchase_days.purchased_on', 'horizon.horizon_days') }}
                    as horizon_ends_on
            from purchase_days
            cross join horizon
        ) as outcomes
        group by purchase_class

    ),

    -- A thin class is drawn to the share of all, with the weight of 20 purchase days.
    return_shares as (

        select
            purchase_class,
            cast(
                coalesce(
                    {{ share(
                        "10000 * repurchased_count + 20 * all_repurchased_per_10000",
                        "(10000 * (followed_count + 20))",
                    ) }}, 1
                ) as decimal(9, 6)
            ) as return_share
        from (
            select
                *,
                {{ quotient(
                    "10000 * sum(repurchased_count) over ()",
                    "nullif(cast(sum(followed_count) over () as bigint), 0)", 0
                ) }} as all_repurchased_per_10000
            from class_returns
        ) as counted

    ),

    final as (

        select
            purchase_days.*,
            cast(purchase_days.margin_at_stake * return_shares.return_share as decimal(18, 2))
                as expected_value_at_stake
        from purchase_days
        inner join return_shares on {{ purchase_class }} = return_shares.purchase_class

    )
{%- else -%}
    final as (

        select
            *,
            cast(null as decimal(18, 2)) as expected_value_at_stake
        from purchase_days

    )
{%- endif %}

select * from final
