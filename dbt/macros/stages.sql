{#-
    Intervals from dated rules: one row from each day on which a customer's rule differs from the
    one before to the day before the next such day, the last one to the as-of date.
-#}
{% macro intervals_of_changes(relation) -%}
    select
        customer_id,
        changed_on as valid_from,
        coalesce(
            {{ plus_days(
                'lead(changed_on) over (partition by customer_id order by changed_on nulls last)',
                -1
            ) }},
            {{ as_of_date() }}
        ) as valid_to,
        rule_id,
        former_rule_id,
        value_at_stake
    from (
        select
            *,
            lag(rule_id) over (partition by customer_id order by changed_on nulls last)
                as former_rule_id
        from {{ relation }}
    ) as dated_rules
    where former_rule_id is null or rule_id <> former_rule_id
{%- endmacro %}
