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


{#- An amount, which may be negative, divided by a count and rounded half away from zero. -#}
{% macro amount_per(amount, count) -%}
    cast(
        {{ quotient("100 * abs(" ~ amount ~ ")", count, 0) }} * 0.01 * sign({{ amount }})
        as decimal(18, 2)
    )
{%- endmacro %}


{#- Whole part of the quotient of two whole numbers that are not negative. -#}
{% macro whole_quotient(numerator, denominator) -%}
    cast(floor(({{ numerator }}) / ({{ denominator }})) as bigint)
{%- endmacro %}


{#- Quotient in floating point, for what is compared with a tolerance or only shown. -#}
{% macro float_quotient(numerator, denominator) -%}
    (cast({{ numerator }} as double) / cast({{ denominator }} as double))
{%- endmacro %}


{#- A floating-point value as a decimal that can be published. -#}
{% macro rounded(value, digits) -%}
    cast(round({{ value }}, {{ digits }}) as decimal(18, {{ digits }}))
{%- endmacro %}


{#-
    A share (0 to 1) of two counts, null where there is nothing to divide by.
-#}
{% macro share(numerator, denominator) -%}
    cast(
        case when {{ denominator }} > 0
            then {{ quotient(numerator, denominator, 6) }}
        end as decimal(9, 6)
    )
{%- endmacro %}


{#-
    A share of two amounts, null where there is nothing to divide by; returns may be many times the
    sales of a short period.
-#}
{% macro amount_share(numerator, denominator) -%}
    cast(
        case when {{ denominator }} > 0
            then {{ quotient(
                "(100 * (" ~ numerator ~ "))",
                "cast(100 * (" ~ denominator ~ ") as bigint)", 6
            ) }}
        end as decimal(18, 6)
    )
{%- endmacro %}


{#- A number from 0 to 2^32 - 1 that is the same for the same text on any engine. -#}
{% macro hash_bucket(text) -%}
    {{ return(adapter.dispatch("hash_bucket")(text)) }}
{%- endmacro %}


{% macro default__hash_bucket(text) -%}
    cast(conv(substr(md5({{ text }}), 1, 8), 16, 10) as bigint)
{%- endmacro %}


{% macro duckdb__hash_bucket(text) -%}
    cast('0x' || substr(md5({{ text }}), 1, 8) as bigint)
{%- endmacro %}
