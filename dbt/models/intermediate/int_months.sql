-- Every month from the first business day to the as-of date: months without a row would hide
-- silence.
with recursive calendar as (

    select {{ month_of(first_day()) }} as month

    union all

    select cast({{ dbt.dateadd("month", 1, "month") }} as date) as month
    from calendar
    where month < {{ month_of(as_of_date()) }}

),

bounded as (

    select
        month,
        {{ plus_days("cast(" ~ dbt.dateadd("month", 1, "month") ~ " as date)", -1) }} as last_day
    from calendar

),

final as (

    select
        month,
        least(last_day, {{ as_of_date() }}) as ended_on,
        last_day <= {{ as_of_date() }} and month >= {{ first_day() }} as is_complete_month
    from bounded

)

select * from final
