-- A customer is lost from the first day on which they have been silent for longer than the
-- definition allows, until they are active again, which may be on that very day.
with silences as (

    select * from {{ ref('int_silences_judged') }}
    where is_lost

),

final as (

    select
        customer_id,
        cast(row_number() over episodes as integer) as episode_number,
        last_purchase_on,
        lost_on,
        ended_on as regained_on,
        lead(lost_on) over episodes as next_lost_on,
        value_at_stake,
        value_tier
    from silences
    window episodes as (partition by customer_id order by lost_on nulls last)

)

select * from final
