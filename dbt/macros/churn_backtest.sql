{#-
    How often the calls of a back-test were wrong or right: false-lost rate, missed rate, accuracy,
    and balanced accuracy, the mean of the share of the gone who were called lost and the share of
    the returned who were not. Null where there is nothing to divide by; the balanced accuracy is
    null where everybody or nobody came back.
-#}
{% macro backtest_rates(counts) -%}
    {%- set gone = counts ~ ".gone_count" -%}
    {%- set returned = "(" ~ counts ~ ".customer_count - " ~ counts ~ ".gone_count)" -%}
    {{ share(counts ~ ".false_lost_count", counts ~ ".called_lost_count") }} as false_lost_rate,
    {{ share(counts ~ ".missed_count", gone) }} as missed_rate,
    {{ share(
        counts ~ ".customer_count - " ~ counts ~ ".false_lost_count - " ~ counts ~ ".missed_count",
        counts ~ ".customer_count",
    ) }} as accuracy,
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
    ) as balanced_accuracy
{%- endmacro %}
