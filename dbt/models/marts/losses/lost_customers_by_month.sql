{%- set horizons = (30, 60, 90, 180, 365) -%}

with months as (

    select * from {{ ref('int_months') }}

),

lost_episodes as (

    select
        *,
        {{ month_of('lost_on') }} as lost_month,
        {{ days_between('lost_on', 'regained_on') }} as lost_days
    from {{ ref('int_lost_episodes') }}

),

value_tiers as (

    select 'high' as value_tier
    union all
    select 'medium' as value_tier
    union all
    select 'low' as value_tier

),

losses as (

    select
        lost_month,
        value_tier,
        count(*) as lost_count,
        sum(value_at_stake) as value_at_stake,
        {% for days in horizons %}
            count_if(lost_days <= {{ days }}) as regained_{{ days }}d_count,
        {% endfor %}
        count(regained_on) as regained_count
    from lost_episodes
    group by all

),

final as (

    select
        months.month as lost_month,
        value_tiers.value_tier,
        cast(coalesce(losses.lost_count, 0) as integer) as lost_customer_count,
        cast(coalesce(losses.value_at_stake, 0) as decimal(18, 2)) as value_at_stake,
        cast(coalesce(losses.regained_count, 0) as integer) as regained_customer_count,
        -- Unknown, and not zero, until the month's last loss has had so many days.
        {% for days in horizons %}
            cast(
                case
                    when {{ plus_days('months.ended_on', days) }} <= {{ as_of_date() }}
                        then coalesce(losses.regained_{{ days }}d_count, 0)
                end as integer
            ) as regained_within_{{ days }}d_count,
        {% endfor %}
        '{{ var("currency") }}' as currency
    from months
    cross join value_tiers
    left join losses
        on months.month = losses.lost_month and value_tiers.value_tier = losses.value_tier
    -- Nobody can be lost in a source's first months, which would read as good ones.
    where months.month >= (select min(lost_episodes.lost_month) from lost_episodes)

)

select * from final
