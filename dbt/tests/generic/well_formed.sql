{#-
    Fails with the rows in which a column of `not_null` is null and with the keys that occur in more
    than one row: one query where a test a column would be many. Columns of the marts have their own
    constraints.
-#}
{% test well_formed(model, not_null=[], key=[]) %}

{%- set shown = (key + not_null) | unique | list %}

{% if not_null %}
    select
        {{ shown | join(", ") }}
    from {{ model }}
    where {{ not_null | join(" is null or ") }} is null
{% endif %}

{% if not_null and key %}
    union all
{% endif %}

{% if key %}
    select
        {% for column in shown -%}
            {{ column if column in key else "null as " ~ column }}{{ "," if not loop.last }}
        {% endfor %}
    from {{ model }}
    group by {{ key | join(", ") }}
    having count(*) > 1
{% endif %}

{% endtest %}
