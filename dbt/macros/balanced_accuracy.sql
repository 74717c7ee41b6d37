{#-
    Mean of the share of the gone who were called lost and the share of the returned who were not;
    null where everybody or nobody came back.
-#}
{% macro balanced_accuracy(counts) -%}
    {%- set gone = counts ~ ".gone_count" -%}
    {%- set returned = "(" ~ counts ~ ".customer_count - " ~ counts ~ ".gone_count)" -%}
    cast(
        case
            when {{ gone }} > 0 and {{ returned }} > 0
                then {{ rounded(
                    float_quotient(gone ~ " - " ~ counts ~ ".missed_count", "2 * " ~ gone)
                    ~ " + " ~ float_quotient(
                        returned ~ " - " ~ counts ~ ".false_lost_count", "2 * " ~ returned
                    ), 6
                ) }}
        end as decimal(9, 6)
    )
{%- endmacro %}
