-- Every month from the first business day to the as-of date: months without a row would hide
-- silence.
with recursive calendar as (

    select {{ month_of(first_day()) }} as month

    union all

    select {{ next_month('month') }} as month
    from calendar
    where month < {{ month_of(as_of_date()) }}

),

bounded as (

    select
        month,
        cast({{ dbt.last_day('month', 'month') }} as date) as last_day
    from calendar

),

final as (

    select
        month,
        least(last_day, {{ as_of_date() }}) as ended_on,
        last_day <= {{ as_of_date() }} as is_over,
        last_day <= {{ as_of_date() }} and month >= {{ first_day() }} as is_complete_month
    from bounded

)

select * from final
