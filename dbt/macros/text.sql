{% macro as_text(value) -%}
    cast({{ value }} as {{ dbt.type_string() }})
{%- endmacro %}


{#- A share of the settings in words: 50%. -#}
{% macro percent_in_words(share) -%}
    '{{ (share | float * 100) | round | int }}%'
{%- endmacro %}


{#- A number of days in words: 1 day, 2 days. -#}
{% macro days_in_words(days) -%}
    {{ as_text(days) }} || case when {{ days }} = 1 then ' day' else ' days' end
{%- endmacro %}
