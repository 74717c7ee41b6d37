{%- set weight_unit = 1000000000000 -%}

-- How long it takes buyers to come back, by Kaplan and Meier (1958): the share still silent after
-- so many days, open gaps counting as long as they could be watched. First-time and repeat buyers
-- apart. Each customer's gaps of a group share one weight, so that frequent buyers do not decide
-- for everybody; the weights are whole numbers, so that no order of adding matters.
with silences as (

    select * from {{ ref('int_silences') }}

),

sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

cutoffs as (

    select * from {{ ref('int_churn_cutoffs') }}

),

gaps as (

    select
        cutoffs.cutoff_on,
        silences.customer_id,
        case when silences.purchase_day_count = 1 then 'first_time' else 'repeat' end
            as buyer_group,
        coalesce(silences.ended_on <= cutoffs.cutoff_on, false) as is_closed,
        case
            when silences.ended_on <= cutoffs.cutoff_on
                then {{ days_between('silences.started_on', 'silences.ended_on') }}
            else {{ days_between('silences.started_on', 'cutoffs.cutoff_on') }}
        end as gap_days
    from silences
    inner join sampled_customers on silences.customer_id = sampled_customers.customer_id
    inner join cutoffs on silences.started_on <= cutoffs.cutoff_on

),

customer_weights as (

    select
        cutoff_on,
        buyer_group,
        customer_id,
        {{ whole_quotient(weight_unit, 'count(*)') }} as weight
    from gaps
    group by cutoff_on, buyer_group, customer_id

),

weighted as (

    select
        gaps.*,
        customer_weights.weight
    from gaps
    inner join customer_weights
        on
            gaps.cutoff_on = customer_weights.cutoff_on
            and gaps.buyer_group = customer_weights.buyer_group
            and gaps.customer_id = customer_weights.customer_id

),

by_length as (

    select
        cutoff_on,
        buyer_group,
        gap_days,
        count(*) as exit_count,
        count_if(is_closed) as event_count,
        sum(weight) as exit_weight,
        coalesce(sum(weight) filter (where is_closed), 0) as event_weight
    from weighted
    group by cutoff_on, buyer_group, gap_days

),

at_risk as (

    select
        cutoff_on,
        buyer_group,
        gap_days,
        event_count,
        event_weight,
        sum(exit_count) over not_yet_out as at_risk_count,
        sum(exit_weight) over not_yet_out as at_risk_weight
    from by_length
    window not_yet_out as (
        partition by cutoff_on, buyer_group
        order by gap_days nulls last
        rows between current row and unbounded following
    )

),

-- The share that stays silent on each day, as a logarithm, so that the product over days is a sum.
-- Where everybody came back it is next to nothing, which has a logarithm.
kept as (

    select
        *,
        ln(greatest(1 - {{ float_quotient('event_weight', 'at_risk_weight') }}, 1e-300))
            as log_kept_rate,
        ln(greatest(1 - {{ float_quotient('event_count', 'at_risk_count') }}, 1e-300))
            as unweighted_log_kept_rate
    from at_risk

),

final as (

    select
        cutoff_on,
        buyer_group,
        cast(gap_days as integer) as gap_days,
        cast(at_risk_count as bigint) as at_risk_count,
        cast(event_count as bigint) as event_count,
        exp(sum(log_kept_rate) over so_far) as silent_rate,
        exp(sum(unweighted_log_kept_rate) over so_far) as unweighted_silent_rate
    from kept
    window so_far as (
        partition by cutoff_on, buyer_group
        order by gap_days nulls last
        rows between unbounded preceding and current row
    )

)

select * from final
