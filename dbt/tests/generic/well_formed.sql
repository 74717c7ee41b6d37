{#-
    Fails with the rows in which a column of `not_null` is null and, if there is a `key`, with the
    keys that occur in more than one row: one query where a test a column would be many.
-#}
{% test well_formed(model, not_null, key=[]) %}

{%- set shown = (key + not_null) | unique | list %}

select
    {{ shown | join(", ") }}
from {{ model }}
where {{ not_null | join(" is null or ") }} is null

{% if key %}
    union all

    select
        {% for column in shown -%}
            {{ column if column in key else "null as " ~ column }}{{ "," if not loop.last }}
        {% endfor %}
    from {{ model }}
    group by {{ key | join(", ") }}
    having count(*) > 1
{% endif %}

{% endtest %}
