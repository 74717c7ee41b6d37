{%- set horizon_months = alert_horizon_months() -%}
{%- set evaluated_on = month_of(as_of_date()) -%}

with alert_months as (

    select * from {{ ref('int_alert_months') }}
    where month = {{ evaluated_on }}

),

alerts as (

    select * from {{ ref('int_alerts') }}
    where raised_on < {{ evaluated_on }}

),

lost_episodes as (

    select * from {{ ref('int_lost_episodes') }}
    where lost_on < {{ evaluated_on }}

),

-- Every loss, and the earliest alert of each type that warned of it within the horizon.
warnings as (

    select
        alert_type,
        customer_id,
        next_lost_on,
        max({{ days_between('raised_on', 'next_lost_on') }}) as warning_days
    from alerts
    where
        next_lost_on < {{ evaluated_on }}
        and next_lost_on < {{ plus_months('raised_on', horizon_months) }}
    group by all

),

ranked_warnings as (

    select
        alert_type,
        warning_days,
        row_number() over (
            partition by alert_type order by warning_days nulls last, customer_id nulls last
        ) as warning_order,
        count(*) over (partition by alert_type) as warned_count
    from warnings

),

warned as (

    select
        alert_type,
        max(warned_count) as warned_count,
        max(
            case when warning_order * 2 in (warned_count, warned_count + 1) then warning_days end
        ) as median_warning_days
    from ranked_warnings
    group by alert_type

),

raised as (

    select
        alert_type,
        count(*) as raised_count
    from alerts
    group by alert_type

),

losses as (

    select count(*) as lost_count
    from lost_episodes

),

-- Customers active as each month began, which are customer-months.
exposure as (

    select coalesce(sum(active_spells.spell_count), 0) as active_month_count
    from {{ ref('int_months') }} as months
    inner join {{ ref('int_active_spells') }} as active_spells
        on
            months.month > active_spells.began_month
            and (
                months.month <= active_spells.lost_month or active_spells.lost_month is null
            )
    where months.month < {{ evaluated_on }}

),

final as (

    select
        alert_months.alert_type,
        {{ evaluated_on }} as evaluated_on,
        cast({{ horizon_months }} as integer) as horizon_months,
        cast(alert_months.alert_count as integer) as alert_count,
        {{ share('alert_months.right_count', 'alert_months.alert_count') }} as precision_rate,
        {{ share('alert_months.base_lost_count', 'alert_months.base_count') }} as base_rate,
        {{ share('coalesce(warned.warned_count, 0)', 'losses.lost_count') }} as recall_rate,
        cast(warned.median_warning_days as integer) as median_warning_days,
        case
            when exposure.active_month_count > 0
                then {{ rounded(
                    float_quotient(
                        '12 * coalesce(raised.raised_count, 0)', 'exposure.active_month_count'
                    ), 4
                ) }}
        end as alerts_per_customer_year,
        alert_months.is_alarming,
        case
            -- The stage goes by the customer's own rhythm, so a poor record is said and no more.
            when alert_months.alert_type = 'overdue'
                then
                    'puts customers into alarm by their own rhythm, whatever its record: '
                    || case
                        when alert_months.alert_count < 30
                            then 'fewer than 30 alerts with a known outcome'
                        when
                            alert_months.right_count * alert_months.base_count
                            > alert_months.base_lost_count * alert_months.alert_count
                            then 'right more often than the base rate'
                        else 'right no more often than the base rate'
                    end
            when alert_months.alert_count < 30
                then 'informs only: fewer than 30 alerts with a known outcome'
            when alert_months.is_alarming
                then 'puts customers into alarm: right often enough, against the base rate'
            else 'informs only: not right often enough, against the base rate'
        end as finding
    from alert_months
    cross join losses
    cross join exposure
    left join warned on alert_months.alert_type = warned.alert_type
    left join raised on alert_months.alert_type = raised.alert_type

)

select * from final
