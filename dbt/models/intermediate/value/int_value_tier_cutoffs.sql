-- What a value must reach to be high or medium, among all who had bought by the end of a month, by the
-- version of the tiers in force on that day, and by every version on the as-of date. A buyer's value at
-- that time is the one of their latest purchase day by then. Past months take the sampled buyers (all
-- of them in most sources), the as-of date's month takes everybody.
with months as (

    select * from {{ ref('int_months') }}

),

versions as (

    select * from {{ ref('int_value_tier_versions') }}

),

judged_months as (

    select
        months.month,
        months.ended_on,
        versions.version,
        versions.measure,
        versions.method,
        versions.high_boundary,
        versions.medium_boundary,
        months.ended_on >= versions.valid_from and months.ended_on < versions.valid_before
            as is_in_force
    from months
    cross join versions
    where
        (months.ended_on >= versions.valid_from and months.ended_on < versions.valid_before)
        or months.ended_on = {{ as_of_date() }}

),

purchase_days as (

    select
        purchase_days.purchased_on,
        purchase_days.next_purchased_on,
        purchase_days.value_at_stake,
        purchase_days.margin_at_stake,
        purchase_days.expected_value_at_stake,
        sampled_customers.customer_id is not null as is_sampled
    from {{ ref('int_purchase_days') }} as purchase_days
    left join {{ ref('int_sampled_customers') }} as sampled_customers
        on purchase_days.customer_id = sampled_customers.customer_id

),

valued as (

    select
        judged_months.*,
        {{ tiered_value('judged_months.measure', 'purchase_days') }} as measured_value
    from judged_months
    inner join purchase_days
        on
            judged_months.ended_on >= purchase_days.purchased_on
            and (
                judged_months.ended_on < purchase_days.next_purchased_on
                or purchase_days.next_purchased_on is null
            )
            and (purchase_days.is_sampled or judged_months.ended_on = {{ as_of_date() }})

),

ranked as (

    select
        *,
        -- Equal values share a rank, so the buyers with a strictly greater value are rank - 1.
        rank() over (partition by month, version order by measured_value desc nulls last) - 1
            as greater_count,
        count(*) over (partition by month, version) as buyer_count
    from valued

),

final as (

    select
        month,
        version,
        measure,
        {% for tier in ('high', 'medium') %}
            -- Zero or less is low, whatever the others.
            cast(
                greatest(
                    case
                        when method = 'cutoff' then {{ tier }}_boundary
                        else min(measured_value) filter (
                            where greater_count < {{ tier }}_boundary * buyer_count
                        )
                    end,
                    0.01
                ) as decimal(18, 2)
            ) as {{ tier }}_cutoff,
        {% endfor %}
        is_in_force
    from ranked
    group by month, version, measure, is_in_force, method, high_boundary, medium_boundary

)

select * from final
