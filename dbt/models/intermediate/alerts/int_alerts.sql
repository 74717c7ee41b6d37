-- What each alert saw, when it was raised and when it ended: by a purchase after which it no
-- longer holds, or by the loss it warned of.
with silences as (

    select
        *,
        least(own_rhythm_alarm_on, two_thirds_alarm_on) as alarm_on
    from {{ ref('int_silences_judged') }}

),

signals as (

    select
        *,
        -- A loss in the cycle of the signal, before the next purchase.
        case
            when next_lost_on <= next_purchased_on or next_purchased_on is null then next_lost_on
        end as lost_on
    from {{ ref('int_alert_signals') }}

),

-- An alert goes on over the cycles that follow one another with the same signal; a loss ends it.
continued as (

    select
        *,
        coalesce(
            lag(purchase_number) over signals_in_order = purchase_number - 1
            and lag(lost_on) over signals_in_order is null,
            false
        ) as is_continuation
    from signals
    window signals_in_order as (
        partition by customer_id, alert_type order by purchase_number nulls last
    )

),

numbered as (

    select
        *,
        sum(case when is_continuation then 0 else 1 end) over (
            partition by customer_id, alert_type
            order by purchase_number nulls last
            rows between unbounded preceding and current row
        ) as alert_number
    from continued

),

declines as (

    select
        customer_id,
        alert_type,
        min(signalled_on) as raised_on,
        -- An open one must not give way to the one before, as a null would.
        nullif(
            max_by(
                coalesce(lost_on, next_purchased_on, cast('9999-12-31' as date)), purchase_number
            ), cast('9999-12-31' as date)
        ) as cleared_on,
        max(lost_on) is not null as is_cleared_by_loss,
        min_by(baseline, purchase_number) as baseline,
        min_by(observed, purchase_number) as observed,
        min_by(threshold, purchase_number) as threshold,
        min(next_lost_on) as next_lost_on
    from numbered
    group by customer_id, alert_type, alert_number

),

overdue as (

    select
        customer_id,
        'overdue' as alert_type,
        alarm_on as raised_on,
        case when is_lost then lost_on else ended_on end as cleared_on,
        is_lost as is_cleared_by_loss,
        {{ rounded(float_quotient('expected_gap_days_total', 'expected_gap_count'), 4) }}
            as baseline,
        cast({{ days_between('started_on', 'alarm_on') }} as decimal(18, 4)) as observed,
        cast({{ days_between('started_on', 'alarm_on') }} - 1 as decimal(18, 4)) as threshold,
        next_lost_on
    from silences
    where
        alarm_on <= {{ as_of_date() }}
        and (alarm_on < ended_on or ended_on is null)

),

final as (

    select * from overdue

    union all

    select * from declines

)

select * from final
