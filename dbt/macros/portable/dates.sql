{#- The end of this business date is "now"; no model may use anything after it. -#}
{% macro as_of_date() -%}
    cast('{{ var("as_of_date") }}' as date)
{%- endmacro %}


{% macro first_day() -%}
    cast('{{ var("first_day") }}' as date)
{%- endmacro %}


{#- Days from the first date to the second. -#}
{% macro days_between(earlier, later) -%}
    {{ return(adapter.dispatch("days_between")(earlier, later)) }}
{%- endmacro %}


{% macro default__days_between(earlier, later) -%}
    {{ dbt.datediff(earlier, later, "day") }}
{%- endmacro %}


{#- Plain subtraction: the portable form goes through timestamps, row by row. -#}
{% macro duckdb__days_between(earlier, later) -%}
    ({{ later }} - {{ earlier }})
{%- endmacro %}


{% macro plus_days(column, days) -%}
    {{ return(adapter.dispatch("plus_days")(column, days)) }}
{%- endmacro %}


{% macro default__plus_days(column, days) -%}
    cast({{ dbt.dateadd("day", days, column) }} as date)
{%- endmacro %}


{% macro duckdb__plus_days(column, days) -%}
    ({{ column }} + cast({{ days }} as integer))
{%- endmacro %}


{% macro plus_months(column, months) -%}
    cast({{ dbt.dateadd("month", months, column) }} as date)
{%- endmacro %}


{% macro month_of(column) -%}
    cast({{ dbt.date_trunc("month", column) }} as date)
{%- endmacro %}


{#- Months from the first to the second, both first days of a month. -#}
{% macro months_between(earlier, later) -%}
    {{ dbt.datediff(earlier, later, "month") }}
{%- endmacro %}


{% macro next_month(month) -%}
    {{ plus_months(month, 1) }}
{%- endmacro %}


{#- The business date of a UTC timestamp. -#}
{% macro business_date(column) -%}
    {{ return(adapter.dispatch("business_date")(column)) }}
{%- endmacro %}


{% macro default__business_date(column) -%}
    cast(timezone('{{ var("time_zone") }}', timezone('UTC', {{ column }})) as date)
{%- endmacro %}
