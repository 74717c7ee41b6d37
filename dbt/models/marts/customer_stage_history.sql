with rules as (

    select * from {{ ref('stage_rules') }}

),

intervals as (

    select * from {{ ref('int_lifecycle_intervals') }}

    union all

    select * from {{ ref('int_loyalty_intervals') }}

    union all

    select * from {{ ref('int_contact_intervals') }}

),

final as (

    select
        intervals.customer_id,
        rules.axis,
        rules.stage,
        intervals.rule_id,
        intervals.valid_from,
        intervals.valid_to,
        intervals.valid_to = {{ as_of_date() }} as is_current,
        intervals.value_at_stake,
        '{{ var("currency") }}' as currency
    from intervals
    inner join rules on intervals.rule_id = rules.rule_id

)

select * from final
