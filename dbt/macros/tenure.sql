{#-
    Whole months of tenure in so many days. A month of tenure is a twelfth of 365 days, so that it is
    as long for everybody, and twelve of them are a year.
-#}
{% macro tenure_months(days) -%}
    cast({{ whole_quotient("12 * (" ~ days ~ ")", 365) }} as integer)
{%- endmacro %}
