{#- The end of this business date is "now"; no model may use anything after it. -#}
{% macro as_of_date() -%}
    cast('{{ var("as_of_date") }}' as date)
{%- endmacro %}


{% macro first_day() -%}
    cast('{{ var("first_day") }}' as date)
{%- endmacro %}


{% macro days_between(earlier, later) -%}
    {{ dbt.datediff(earlier, later, "day") }}
{%- endmacro %}


{% macro plus_days(column, days) -%}
    cast({{ dbt.dateadd("day", days, column) }} as date)
{%- endmacro %}


{% macro month_of(column) -%}
    cast({{ dbt.date_trunc("month", column) }} as date)
{%- endmacro %}


{#- Months from the first to the second, both first days of a month. -#}
{% macro months_between(earlier, later) -%}
    {{ dbt.datediff(earlier, later, "month") }}
{%- endmacro %}


{% macro next_month(month) -%}
    cast({{ dbt.dateadd("month", 1, month) }} as date)
{%- endmacro %}


{#- The business date of a UTC timestamp. -#}
{% macro business_date(column) -%}
    {{ return(adapter.dispatch("business_date")(column)) }}
{%- endmacro %}


{% macro default__business_date(column) -%}
    cast(timezone('{{ var("time_zone") }}', timezone('UTC', {{ column }})) as date)
{%- endmacro %}
