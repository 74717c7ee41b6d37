-- Days as of which churn definitions are put to the test: the first of each month that has half a
-- year of data before it and an outcome after it, two years of them at most. And the as-of date,
-- whose outcome nobody knows yet.
with months as (

    select * from {{ ref('int_months') }}

),

final as (

    select
        month as cutoff_on,
        false as is_as_of,
        {{ plus_days('month', 180) }} <= {{ as_of_date() }} as has_180d_outcome
    from months
    where
        month >= {{ plus_days(first_day(), 180) }}
        and {{ plus_days('month', 90) }} <= {{ as_of_date() }}
        and month > {{ plus_months(month_of(as_of_date()), -27) }}

    union all

    select
        {{ as_of_date() }} as cutoff_on,
        true as is_as_of,
        false as has_180d_outcome

)

select * from final
