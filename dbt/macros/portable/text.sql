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


{#- A structured value of named fields; two are compared field by field, in this order. -#}
{% macro struct(fields) -%}
    {{ return(adapter.dispatch("struct")(fields)) }}
{%- endmacro %}


{% macro default__struct(fields) -%}
    named_struct(
        {%- for name, value in fields.items() -%}
            '{{ name }}', {{ value }}{{ ", " if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}


{% macro duckdb__struct(fields) -%}
    struct_pack(
        {%- for name, value in fields.items() -%}
            {{ name }} := {{ value }}{{ ", " if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}


{#- A field of a structured value. -#}
{% macro field(value, name) -%}
    {{ return(adapter.dispatch("field")(value, name)) }}
{%- endmacro %}


{% macro default__field(value, name) -%}
    {{ value }}.{{ name }}
{%- endmacro %}


{% macro duckdb__field(value, name) -%}
    struct_extract({{ value }}, '{{ name }}')
{%- endmacro %}
