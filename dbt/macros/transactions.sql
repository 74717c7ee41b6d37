{#-
    Runs before an incremental build of int_customer_days: deletes the days whose lines a load has
    changed or removed since, so that the model computes them anew. Full builds need nothing.
-#}
{% macro delete_stale_days() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where not exists (
            select 1
            from {{ ref('int_day_revisions') }} as day_revisions
            where
                day_revisions.ordered_on = {{ this }}.ordered_on
                and day_revisions.revision = {{ this }}.revision
        )
    {%- endif -%}
{%- endmacro %}
