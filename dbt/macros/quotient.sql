{#-
    Quotient of two whole numbers, the first not negative and the second positive, rounded half up
    to a decimal. Engines divide decimals differently (DuckDB in floats, where .0015625 becomes
    .001562): here the last division is of whole numbers, and only its whole part counts.
-#}
{% macro quotient(numerator, denominator, digits) -%}
    cast(
        floor(
            ({{ 2 * 10 ** digits }} * cast({{ numerator }} as bigint) + {{ denominator }})
            / (2 * {{ denominator }})
        ) as decimal(18, 0)
    ) * {{ "%.*f" | format(digits, 10 ** -digits) }}
{%- endmacro %}
