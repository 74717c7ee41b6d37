with counts as (

    select
        definition_id,
        cutoff_on,
        horizon_days,
        sum(customer_count) as customer_count,
        sum(called_lost_count) as called_lost_count,
        sum(false_lost_count) as false_lost_count,
        sum(missed_count) as missed_count,
        sum(gone_count) as gone_count
    from {{ ref('int_backtest_counts') }}
    group by all

),

thresholds as (

    -- The version in force on the cutoff.
    select * from {{ ref('int_churn_thresholds') }}
    where cutoff_on >= valid_from and cutoff_on < valid_before

),

final as (

    select
        counts.definition_id,
        counts.cutoff_on,
        cast(counts.horizon_days as integer) as horizon_days,
        case when thresholds.first_time_days >= 0 then thresholds.first_time_days end
            as first_time_lost_days,
        case when thresholds.repeat_days >= 0 then thresholds.repeat_days end as repeat_lost_days,
        cast(counts.customer_count as integer) as customer_count,
        cast(counts.called_lost_count as integer) as called_lost_count,
        cast(counts.false_lost_count as integer) as false_lost_count,
        cast(counts.missed_count as integer) as missed_count,
        cast(counts.gone_count as integer) as gone_count,
        {{ backtest_rates('counts') }}
    from counts
    left join thresholds
        on
            counts.definition_id = thresholds.definition_id
            and counts.cutoff_on = thresholds.cutoff_on

)

select * from final
