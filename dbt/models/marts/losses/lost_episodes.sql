with episodes as (

    select * from {{ ref('int_lost_episodes') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where ordered_on <= {{ as_of_date() }}

),

-- What the customer brought after coming back: within a year, and until lost again.
second_lives as (

    select
        episodes.customer_id,
        episodes.episode_number,
        sum(customer_days.net_revenue) filter (
            where customer_days.ordered_on < {{ plus_days('episodes.regained_on', 365) }}
        ) as value_year_after,
        sum(customer_days.net_revenue) filter (
            where customer_days.ordered_on < episodes.next_lost_on or episodes.next_lost_on is null
        ) as second_lifetime_value
    from episodes
    inner join customer_days
        on
            episodes.customer_id = customer_days.customer_id
            and episodes.regained_on <= customer_days.ordered_on
    group by episodes.customer_id, episodes.episode_number

),

valued as (

    select
        episodes.*,
        case
            when episodes.regained_on is not null
                then coalesce(second_lives.value_year_after, 0)
        end as value_year_after,
        case
            when episodes.regained_on is not null
                then coalesce(second_lives.second_lifetime_value, 0)
        end as second_lifetime_value,
        {{ plus_days('episodes.regained_on', 364) }} <= {{ as_of_date() }} as is_year_after_over
    from episodes
    left join second_lives
        on
            episodes.customer_id = second_lives.customer_id
            and episodes.episode_number = second_lives.episode_number

),

final as (

    select
        customer_id,
        episode_number,
        last_purchase_on,
        lost_on,
        regained_on,
        cast({{ days_between('lost_on', 'coalesce(regained_on, ' ~ as_of_date() ~ ')') }} as integer)
            as lost_days,
        regained_on is null as is_open,
        value_tier,
        value_at_stake as value_year_before,
        cast(value_year_after as decimal(18, 2)) as value_year_after,
        is_year_after_over,
        case
            when is_year_after_over and value_at_stake > 0
                then {{ rounded(float_quotient('value_year_after', 'value_at_stake'), 4) }}
        end as spend_ratio,
        cast(second_lifetime_value as decimal(18, 2)) as second_lifetime_value,
        case when regained_on is not null then next_lost_on is not null end
            as is_second_lifetime_over,
        '{{ var("currency") }}' as currency
    from valued

)

select * from final
