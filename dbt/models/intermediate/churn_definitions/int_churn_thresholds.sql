-- What each definition comes to in days, as of each cutoff and using nothing after it.
with definitions as (

    select * from {{ ref('int_churn_definitions') }}

),

cutoffs as (

    select * from {{ ref('int_churn_cutoffs') }}

),

gap_survival as (

    select * from {{ ref('int_gap_survival') }}

),

-- The estimate reaches as far as enough gaps are left to watch, and a year at most.
horizons as (

    select
        cutoff_on,
        buyer_group,
        least(365, max(gap_days) filter (where at_risk_count >= 50)) as horizon_days,
        max(at_risk_count) as gap_count,
        sum(event_count) as event_count
    from gap_survival
    group by cutoff_on, buyer_group

),

returned as (

    select
        horizons.cutoff_on,
        horizons.buyer_group,
        1 - min(gap_survival.silent_rate) as repurchased_rate
    from horizons
    inner join gap_survival
        on
            horizons.cutoff_on = gap_survival.cutoff_on
            and horizons.buyer_group = gap_survival.buyer_group
            and horizons.horizon_days >= gap_survival.gap_days
    where horizons.gap_count >= 50 and horizons.event_count >= 20
    group by horizons.cutoff_on, horizons.buyer_group
    -- Nobody who came back only after the horizon can tell how long it takes within it.
    having min(gap_survival.silent_rate) < 1

),

survival_days as (

    select
        definitions.definition_order,
        gap_survival.cutoff_on,
        gap_survival.buyer_group,
        min(gap_survival.gap_days) as lost_days
    from definitions
    cross join gap_survival
    inner join returned
        on
            gap_survival.cutoff_on = returned.cutoff_on
            and gap_survival.buyer_group = returned.buyer_group
    where
        definitions.method = 'survival'
        and 100 * (1 - gap_survival.silent_rate)
        >= definitions.quantile_hundredths * returned.repurchased_rate - 1e-7
    group by
        definitions.definition_order, gap_survival.cutoff_on, gap_survival.buyer_group

),

closed_gaps as (

    select
        cutoff_on,
        gap_days,
        sum(event_count) as event_count
    from gap_survival
    group by cutoff_on, gap_days

),

ranked_gaps as (

    select
        cutoff_on,
        gap_days,
        sum(event_count) over (
            partition by cutoff_on
            order by gap_days nulls last
            rows between unbounded preceding and current row
        ) as event_count_so_far,
        sum(event_count) over (partition by cutoff_on) as event_count
    from closed_gaps

),

percentile_days as (

    select
        definitions.definition_order,
        ranked_gaps.cutoff_on,
        min(ranked_gaps.gap_days) as lost_days
    from definitions
    cross join ranked_gaps
    where
        definitions.method = 'gap_percentile'
        and ranked_gaps.event_count >= 20
        and 100 * ranked_gaps.event_count_so_far
        >= definitions.quantile_hundredths * ranked_gaps.event_count
    group by definitions.definition_order, ranked_gaps.cutoff_on

),

estimated as (

    select
        definitions.*,
        cutoffs.cutoff_on,
        coalesce(first_time.lost_days, percentile_days.lost_days) as first_time_estimate,
        coalesce(repeat_buyers.lost_days, percentile_days.lost_days) as repeat_estimate
    from definitions
    cross join cutoffs
    left join survival_days as first_time
        on
            definitions.definition_order = first_time.definition_order
            and cutoffs.cutoff_on = first_time.cutoff_on
            and first_time.buyer_group = 'first_time'
    left join survival_days as repeat_buyers
        on
            definitions.definition_order = repeat_buyers.definition_order
            and cutoffs.cutoff_on = repeat_buyers.cutoff_on
            and repeat_buyers.buyer_group = 'repeat'
    left join percentile_days
        on
            definitions.definition_order = percentile_days.definition_order
            and cutoffs.cutoff_on = percentile_days.cutoff_on

),

final as (

    select
        definition_id,
        definition_order,
        method,
        valid_from,
        valid_before,
        cutoff_on,
        cast(
            case
                when method = 'everybody_lost' then -1
                when method in ('fixed', 'survival', 'gap_percentile')
                    then coalesce(first_time_estimate, lost_days)
            end as integer
        ) as first_time_days,
        cast(
            case
                when method = 'everybody_lost' then -1
                when method in ('fixed', 'survival', 'gap_percentile')
                    then coalesce(repeat_estimate, lost_days)
            end as integer
        ) as repeat_days,
        gap_hundredths,
        cast({{ whole_quotient('lost_days', 3) }} as integer) as minimum_days,
        2 * lost_days as maximum_days,
        -- Why a threshold is not what its method would have made it.
        case
            when method = 'survival' and (first_time_estimate is null or repeat_estimate is null)
                then
                    'too few gaps of '
                    || case
                        when first_time_estimate is not null then 'repeat buyers'
                        when repeat_estimate is not null then 'first-time buyers'
                        else 'first-time and of repeat buyers'
                    end
                    || ' (50 gaps and 20 returns are needed): the fixed '
                    || {{ as_text('lost_days') }} || ' days stand in'
            when method = 'gap_percentile' and first_time_estimate is null
                then
                    'fewer than 20 closed gaps: the fixed ' || {{ as_text('lost_days') }}
                    || ' days stand in'
        end as note
    from estimated

)

select * from final
