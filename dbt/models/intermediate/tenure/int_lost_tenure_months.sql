-- The months of tenure at whose end a customer was lost, one row an episode: from the month the loss
-- fell in to before the one they came back in. Whoever came back within the month is lost at no end.
with lost_episodes as (

    select * from {{ ref('int_lost_episodes') }}

),

tenures as (

    select * from {{ ref('int_tenures') }}

),

dated as (

    select
        tenures.customer_id,
        {{ tenure_months(days_between('tenures.first_purchase_on', 'lost_episodes.lost_on')) }}
            as first_lost_month,
        {{ tenure_months(days_between('tenures.first_purchase_on', 'lost_episodes.regained_on')) }}
            as regained_month
    from lost_episodes
    inner join tenures on lost_episodes.customer_id = tenures.customer_id

),

final as (

    select
        customer_id,
        first_lost_month,
        regained_month
    from dated
    where first_lost_month < regained_month or regained_month is null

)

select * from final
