-- The versions of the value tiers, as the source's file gives them.
{% for version in versions_of("value_tiers") -%}
    select
        {{ loop.index }} as version,
        '{{ version.measure }}' as measure,
        '{{ version.method }}' as method,
        cast({{ version.high }} as decimal(18, 4)) as high_boundary,
        cast({{ version.medium }} as decimal(18, 4)) as medium_boundary,
        cast('{{ version.valid_from }}' as date) as valid_from,
        cast('{{ version.valid_before }}' as date) as valid_before
    {{ "union all" if not loop.last }}
{% endfor %}
