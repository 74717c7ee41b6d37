{#-
    The versions of a setting by the day from which each is valid, with the day before which the next
    takes over.
-#}
{% macro versions_of(setting) -%}
    {%- set versions = [] -%}
    {%- for version in var(setting) -%}
        {%- do versions.append(dict(
            version,
            valid_before=loop.nextitem.valid_from if loop.nextitem is defined else "9999-12-31",
        )) -%}
    {%- endfor -%}
    {{ return(versions) }}
{%- endmacro %}
