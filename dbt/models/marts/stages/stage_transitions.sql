-- Numbered, so that moves are found and counted by whole numbers and not by names.
with rules as (

    select
        *,
        row_number() over (order by rule_id nulls last) as rule_number
    from {{ ref('stage_rules') }}

),

-- From the rule before the month's first change to the one after its last, axis by axis.
moves as (

    {% for axis in ('lifecycle', 'loyalty', 'contact') %}
        select
            {{ month_of('intervals.valid_from') }} as month,
            min_by(coalesce(former_rules.rule_number, 0), intervals.valid_from)
                as from_rule_number,
            max_by(rules.rule_number, intervals.valid_from) as to_rule_number,
            max_by(intervals.value_at_stake, intervals.valid_from) as value_at_stake
        from {{ ref('int_' ~ axis ~ '_intervals') }} as intervals
        inner join rules on intervals.rule_id = rules.rule_id
        left join rules as former_rules on intervals.former_rule_id = former_rules.rule_id
        group by intervals.customer_id, {{ month_of('intervals.valid_from') }}
        {{ "union all" if not loop.last }}
    {% endfor %}

),

counted as (

    select
        month,
        from_rule_number,
        to_rule_number,
        count(*) as customer_count,
        sum(value_at_stake) as value_at_stake
    from moves
    group by month, from_rule_number, to_rule_number

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
    inner join rules as to_rules on counted.to_rule_number = to_rules.rule_number
    left join rules as from_rules on counted.from_rule_number = from_rules.rule_number
    where to_rules.stage <> coalesce(from_rules.stage, 'unknown')
    group by all

)

select * from final
