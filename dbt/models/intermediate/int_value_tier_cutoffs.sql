-- What a value must reach to be high or middle, among all who had bought by the end of a month.
-- A buyer's value at that time is the one of their latest purchase day by then. Past months take
-- the sampled buyers (all of them in most sources), the as-of date's month takes everybody.
with months as (

    select * from {{ ref('int_months') }}

),

purchase_days as (

    select
        purchase_days.purchased_on,
        purchase_days.next_purchased_on,
        purchase_days.value_at_stake,
        sampled_customers.customer_id is not null as is_sampled
    from {{ ref('int_purchase_days') }} as purchase_days
    left join {{ ref('int_sampled_customers') }} as sampled_customers
        on purchase_days.customer_id = sampled_customers.customer_id

),

ranked as (

    select
        months.month,
        purchase_days.value_at_stake,
        -- Equal values share a rank, so the buyers with a strictly greater value are rank - 1.
        rank() over by_value - 1 as greater_count,
        count(*) over (partition by months.month) as buyer_count
    from months
    inner join purchase_days
        on
            months.ended_on >= purchase_days.purchased_on
            and (
                months.ended_on < purchase_days.next_purchased_on
                or purchase_days.next_purchased_on is null
            )
            and (purchase_days.is_sampled or months.ended_on = {{ as_of_date() }})
    window by_value as (
        partition by months.month order by purchase_days.value_at_stake desc nulls last
    )

),

final as (

    select
        month,
        min(value_at_stake) filter (
            where greater_count < {{ var('high_tier_share') }} * buyer_count
        ) as high_cutoff,
        min(value_at_stake) filter (
            where greater_count < {{ var('middle_tier_share') }} * buyer_count
        ) as middle_cutoff
    from ranked
    group by month

)

select * from final
