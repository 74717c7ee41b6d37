{#- Stop what would build or test the models with the values that dbt_project.yml has for parsing: of
    another business, they fill the marts with nothing, and every test passes. -#}
{% macro refuse_without_source() %}
    {%- if execute and flags.WHICH in ("build", "run", "seed", "snapshot", "test")
        and not var("is_of_a_source", false) -%}
        {{ exceptions.raise_compiler_error(
            "dbt knows no source here and would fill the marts with nothing. Run it through winback, "
            ~ "which gives it the warehouse and the settings of a source's last run: "
            ~ "winback dbt --source NAME -- " ~ flags.WHICH ~ " -s MODEL"
        ) }}
    {%- endif -%}
{% endmacro %}
