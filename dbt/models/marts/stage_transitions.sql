with rules as (

    select * from {{ ref('stage_rules') }}

),

-- From the rule before the month's first change to the one after its last, axis by axis.
moves as (

    {% for axis in ('lifecycle', 'loyalty', 'contact') %}
        select
            {{ month_of('valid_from') }} as month,
            min_by(coalesce(former_rule_id, 'unknown'), valid_from) as from_rule_id,
            max_by(rule_id, valid_from) as to_rule_id,
            max_by(value_at_stake, valid_from) as value_at_stake
        from {{ ref('int_' ~ axis ~ '_intervals') }}
        group by customer_id, {{ month_of('valid_from') }}
        {{ "union all" if not loop.last }}
    {% endfor %}

),

counted as (

    select
        month,
        from_rule_id,
        to_rule_id,
        count(*) as customer_count,
        sum(value_at_stake) as value_at_stake
    from moves
    group by month, from_rule_id, to_rule_id

),

final as (

    select
        counted.month,
        to_rules.axis,
        coalesce(from_rules.stage, 'unknown') as from_stage,
        to_rules.stage as to_stage,
        cast(sum(counted.customer_count) as integer) as customer_count,
        cast(sum(counted.value_at_stake) as decimal(18, 2)) as value_at_stake,
        '{{ var("currency") }}' as currency
    from counted
    inner join rules as to_rules on counted.to_rule_id = to_rules.rule_id
    left join rules as from_rules on counted.from_rule_id = from_rules.rule_id
    where to_rules.stage <> coalesce(from_rules.stage, 'unknown')
    group by all

)

select * from final
