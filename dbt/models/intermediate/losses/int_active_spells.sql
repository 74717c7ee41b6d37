-- Buyers by the month in which they became active (first, or again after a loss) and the month in
-- which they were lost from there.
with buyers as (

    select * from {{ ref('int_buyers') }}

),

lost_episodes as (

    select * from {{ ref('int_lost_episodes') }}

),

spells as (

    select
        buyers.first_purchase_on as began_on,
        lost_episodes.lost_on
    from buyers
    left join lost_episodes
        on buyers.customer_id = lost_episodes.customer_id and lost_episodes.episode_number = 1

    union all

    select
        regained_on as began_on,
        next_lost_on as lost_on
    from lost_episodes
    where regained_on is not null

),

final as (

    select
        {{ month_of('began_on') }} as began_month,
        {{ month_of('lost_on') }} as lost_month,
        count(*) as spell_count
    from spells
    group by all

)

select * from final
