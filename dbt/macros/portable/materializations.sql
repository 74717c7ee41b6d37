{#- How a table or view is replaced on DuckDB: dropped and made again in one transaction.

    The adapter's own way (build beside, rename twice, drop) is as safe where others read meanwhile,
    which here is a release and never the warehouse; every rename costs dbt a tenth of a second. -#}
{% materialization table, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks) }}
    {% call statement('main') -%}
        {{ dropped(load_cached_relation(this)) }}
        {{ create_table_as(False, target, compiled_code) }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% materialization view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks) }}
    {% call statement('main') -%}
        {{ dropped(load_cached_relation(this)) }}
        {{ get_create_view_as_sql(target, compiled_code) }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% macro dropped(relation) -%}
    {%- if relation is not none %}drop {{ relation.type }} if exists {{ relation }} cascade;{% endif -%}
{%- endmacro %}
