with rules as (

    select * from {{ ref('stage_rules') }}

),

intervals as (

    {% for axis in ('lifecycle', 'loyalty', 'contact') %}
        select * from {{ ref('int_' ~ axis ~ '_intervals') }}
        {{ "union all" if not loop.last }}
    {% endfor %}

),

final as (

    select
        intervals.customer_id,
        rules.axis,
        rules.stage,
        intervals.rule_id,
        intervals.valid_from,
        intervals.valid_to,
        intervals.valid_to = {{ as_of_date() }} as is_current
    from intervals
    inner join rules on intervals.rule_id = rules.rule_id

)

select * from final
