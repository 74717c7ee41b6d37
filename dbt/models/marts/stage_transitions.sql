with history as (

    select
        *,
        {{ month_of('valid_from') }} as month,
        lag(stage) over (
            partition by customer_id, axis
            order by valid_from nulls last
        ) as former_stage
    from {{ ref('customer_stage_history') }}

),

-- From the stage before the month's first change to the one after its last.
moves as (

    select
        customer_id,
        axis,
        month,
        min_by(coalesce(former_stage, 'unknown'), valid_from) as from_stage,
        max_by(stage, valid_from) as to_stage,
        max_by(value_at_stake, valid_from) as value_at_stake
    from history
    group by customer_id, axis, month

),

final as (

    select
        month,
        axis,
        from_stage,
        to_stage,
        cast(count(*) as integer) as customer_count,
        cast(sum(value_at_stake) as decimal(18, 2)) as value_at_stake,
        '{{ var("currency") }}' as currency
    from moves
    where from_stage <> to_stage
    group by month, axis, from_stage, to_stage

)

select * from final
