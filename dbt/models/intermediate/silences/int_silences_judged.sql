-- Each silence by the churn definition in force on the day it began: when it becomes a loss, and
-- the days on which the customer's stage changes while it lasts. Days are compared as whole
-- numbers, so no rounding can move a customer.
with silences as (

    select * from {{ ref('int_silences') }}

),

thresholds as (

    select * from {{ ref('int_churn_thresholds') }}
    where definition_id = 'active' and cutoff_on = {{ as_of_date() }}

),

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where is_in_force

),

dated as (

    select
        silences.*,
        thresholds.method,
        {{ lost_on('silences', 'thresholds') }} as lost_on
    from silences
    inner join thresholds
        on
            silences.started_on >= thresholds.valid_from
            and silences.started_on < thresholds.valid_before

),

allowed as (

    select
        *,
        cast({{ days_between('started_on', 'lost_on') }} - 1 as integer) as allowed_days
    from dated

),

measured as (

    select
        *,
        lost_on <= {{ as_of_date() }} and (lost_on <= ended_on or ended_on is null) as is_lost,
        {{ whole_quotient('allowed_days', 3) }} as third_days,
        {{ whole_quotient('2 * allowed_days', 3) }} as two_thirds_days,
        {{ whole_quotient(
            var('alarm_gap_count') ~ ' * expected_gap_days_total', 'expected_gap_count'
        ) }} as own_rhythm_days,
        -- Being new counts from the only purchase day, whatever has begun the silence.
        case
            when purchase_day_count = 1
                then {{ plus_days(
                    'last_purchase_on',
                    'least(' ~ var('new_customer_days') ~ ', ' ~ whole_quotient('allowed_days', 3)
                    ~ ')',
                ) }}
        end as new_until
    from allowed

),

final as (

    select
        measured.customer_id,
        measured.started_on,
        measured.ended_on,
        measured.purchase_day_count,
        measured.last_purchase_on,
        measured.next_purchased_on,
        measured.expected_gap_days_total,
        measured.expected_gap_count,
        measured.season_passed_on,
        measured.value_at_stake,
        {{ value_tier(tiered_value('tier_cutoffs.measure', 'measured')) }} as value_tier,
        case when measured.method <> 'season' then measured.allowed_days end
            as lost_threshold_days,
        measured.lost_on,
        measured.is_lost,
        min(case when measured.is_lost then measured.lost_on end) over (
            partition by measured.customer_id
            order by measured.started_on nulls last
            rows between current row and unbounded following
        ) as next_lost_on,
        case
            when measured.started_on <= measured.new_until then 'new_first_purchase'
            when
                measured.purchase_day_count >= {{ var('evergreen_purchase_days') }}
                and 2 * measured.expected_gap_days_total
                <= measured.allowed_days * measured.expected_gap_count
                then 'evergreen_steady_rhythm'
            else 'vulnerable_no_rhythm'
        end as first_rule_id,
        case
            when measured.started_on <= measured.new_until
                then {{ plus_days('measured.new_until', 1) }}
        end as vulnerable_on,
        {{ plus_days(
            'measured.started_on', 'greatest(measured.third_days, measured.own_rhythm_days) + 1'
        ) }} as own_rhythm_alarm_on,
        {{ plus_days('measured.started_on', 'measured.two_thirds_days + 1') }}
            as two_thirds_alarm_on,
        case
            when measured.method = 'season' then 'lost_season_passed' else 'lost_over_threshold'
        end as lost_rule_id
    from measured
    left join tier_cutoffs on {{ month_of('measured.started_on') }} = tier_cutoffs.month

)

select * from final
