-- The definitions in force and the contestants, as the source's file and the presets give them.
{% for definition in compared_definitions() -%}
    select
        '{{ definition.definition_id }}' as definition_id,
        {{ loop.index }} as definition_order,
        '{{ definition.method }}' as method,
        cast({{ definition.lost_days }} as integer) as lost_days,
        cast({{ (definition.gap_multiple | float * 100) | round | int }} as bigint)
            as gap_hundredths,
        cast({{ (definition.quantile | float * 100) | round | int }} as bigint)
            as quantile_hundredths,
        cast('{{ definition.valid_from }}' as date) as valid_from,
        cast('{{ definition.valid_before }}' as date) as valid_before,
        {{ dbt.string_literal(dbt.escape_single_quotes(definition.description)) }} as description,
        {{ dbt.string_literal(dbt.escape_single_quotes(definition.description_zh)) }}
            as description_zh
    {{ "union all" if not loop.last }}
{% endfor %}
