{%- set horizon_months = alert_horizon_months() -%}

-- How good each type of alert had proved to be by the beginning of each month, from alerts whose
-- outcome was known by then. An alert is right if the customer is lost within the horizon; the
-- base rate is the share of all active customers lost within as long. By month, so that the stage
-- of a past day never depends on what was learnt later.
with months as (

    select * from {{ ref('int_months') }}

),

alerts as (

    select * from {{ ref('int_alerts') }}

),

active_spells as (

    select * from {{ ref('int_active_spells') }}

),

alert_types as (

    {% for alert_type in alert_types() %}
        select '{{ alert_type }}' as alert_type
        {{ "union all" if not loop.last }}
    {% endfor %}

),

resolved as (

    select
        alert_type,
        {{ next_month(month_of(plus_months('raised_on', horizon_months))) }} as known_month,
        count(*) as alert_count,
        count_if(next_lost_on < {{ plus_months('raised_on', horizon_months) }}) as right_count
    from alerts
    group by all

),

-- Who was active as a month began, and who of them was lost within the horizon.
starts as (

    select
        months.month,
        sum(active_spells.spell_count) as active_count,
        coalesce(
            sum(active_spells.spell_count) filter (
                where active_spells.lost_month < {{ plus_months('months.month', horizon_months) }}
            ), 0
        ) as lost_count
    from months
    inner join active_spells
        on
            months.month > active_spells.began_month
            and (
                months.month <= active_spells.lost_month or active_spells.lost_month is null
            )
    group by months.month

),

alerts_by_month as (

    select
        months.month,
        alert_types.alert_type,
        coalesce(sum(resolved.alert_count), 0) as alert_count,
        coalesce(sum(resolved.right_count), 0) as right_count
    from months
    cross join alert_types
    left join resolved
        on alert_types.alert_type = resolved.alert_type and months.month >= resolved.known_month
    group by months.month, alert_types.alert_type

),

base_by_month as (

    select
        months.month,
        coalesce(sum(starts.active_count), 0) as base_count,
        coalesce(sum(starts.lost_count), 0) as base_lost_count
    from months
    left join starts
        on months.month >= {{ plus_months('starts.month', horizon_months) }}
    group by months.month

),

final as (

    select
        alerts_by_month.month,
        alerts_by_month.alert_type,
        cast(alerts_by_month.alert_count as bigint) as alert_count,
        cast(alerts_by_month.right_count as bigint) as right_count,
        cast(base_by_month.base_count as bigint) as base_count,
        cast(base_by_month.base_lost_count as bigint) as base_lost_count,
        -- Precision of so many times the base rate, compared without dividing.
        alerts_by_month.alert_type = 'overdue' or (
            alerts_by_month.alert_count >= 30
            and alerts_by_month.right_count > 0
            and base_by_month.base_count > 0
            and alerts_by_month.right_count * base_by_month.base_count
            >= {{ var('minimum_alert_lift') }} * base_by_month.base_lost_count * alerts_by_month.alert_count
        ) as is_alarming
    from alerts_by_month
    inner join base_by_month on alerts_by_month.month = base_by_month.month

)

select * from final
