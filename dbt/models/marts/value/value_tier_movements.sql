-- A buyer's value changes on purchase days only, and their tier also as the cut-offs do: from one
-- month's end to the next it is either the first value after a purchase, or the same as before against
-- other cut-offs.
with cutoffs as (

    select
        *,
        lag(measure) over months as former_measure,
        lag(high_cutoff) over months as former_high_cutoff,
        lag(medium_cutoff) over months as former_medium_cutoff
    from {{ ref('int_value_tier_cutoffs') }}
    where is_in_force
    window months as (order by month nulls last)

),

-- The last purchase day of each month in which a buyer bought, and the month of the next one.
month_values as (

    select
        month,
        next_month,
        value_at_stake,
        margin_at_stake,
        expected_value_at_stake,
        lag(value_at_stake) over history as former_value_at_stake,
        lag(margin_at_stake) over history as former_margin_at_stake,
        lag(expected_value_at_stake) over history as former_expected_value_at_stake
    from (
        select
            customer_id,
            value_at_stake,
            margin_at_stake,
            expected_value_at_stake,
            {{ month_of('purchased_on') }} as month,
            {{ month_of('next_purchased_on') }} as next_month
        from {{ ref('int_purchase_days') }}
    ) as purchase_months
    where next_month is null or next_month > month
    window history as (partition by customer_id order by month nulls last)

),

arrivals as (

    select
        cutoffs.month,
        {{ value_tier(tiered_value('cutoffs.measure', 'month_values')) }} as to_tier,
        case
            when month_values.former_value_at_stake is null then 'none'
            else {{ value_tier(
                tiered_value('cutoffs.former_measure', 'month_values', 'former_'), 'cutoffs.former_'
            ) }}
        end as from_tier,
        count(*) as customer_count,
        sum(month_values.value_at_stake) as value_at_stake
    from month_values
    inner join cutoffs on month_values.month = cutoffs.month
    group by all

),

stays as (

    select
        cutoffs.month,
        {{ value_tier(tiered_value('cutoffs.measure', 'month_values')) }} as to_tier,
        {{ value_tier(
            tiered_value('cutoffs.former_measure', 'month_values'), 'cutoffs.former_'
        ) }} as from_tier,
        count(*) as customer_count,
        sum(month_values.value_at_stake) as value_at_stake
    from month_values
    inner join cutoffs
        on
            month_values.month < cutoffs.month
            and (month_values.next_month > cutoffs.month or month_values.next_month is null)
    group by all

),

final as (

    select
        moves.month,
        moves.from_tier,
        moves.to_tier,
        cast(sum(moves.customer_count) as integer) as customer_count,
        cast(sum(moves.value_at_stake) as decimal(18, 2)) as value_at_stake,
        '{{ var("currency") }}' as currency,
        months.is_complete_month
    from (
        select * from arrivals
        union all
        select * from stays
    ) as moves
    inner join {{ ref('int_months') }} as months on moves.month = months.month
    group by all

)

select * from final
