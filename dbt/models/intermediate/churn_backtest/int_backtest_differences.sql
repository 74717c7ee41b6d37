{%- set replicate_count = 500 -%}

-- How far each definition's balanced accuracy lies from the best one's, and the interval in which
-- 95% of bootstrap replicates put that difference. Groups of customers are drawn, the same ones for
-- both sides (paired), each as often as a Poisson(1) number from its hash says (Chamandy et al.
-- 2012), so that the interval is the same on every run.
with recursive replicates as (

    select 1 as replicate

    union all

    select replicate + 1 as replicate
    from replicates
    where replicate < {{ replicate_count }}

),

scores as (

    select * from {{ ref('int_backtest_scores') }}

),

counts as (

    select
        definition_id,
        horizon_days,
        group_number,
        sum(customer_count) as customer_count,
        sum(called_lost_count) as called_lost_count,
        sum(false_lost_count) as false_lost_count,
        sum(gone_count) as gone_count,
        sum(customer_count - gone_count - false_lost_count) as rightly_kept_count
    from {{ ref('int_backtest_counts') }}
    group by definition_id, horizon_days, group_number

),

customer_groups as (

    select distinct group_number
    from counts

),

drawn_groups as (

    select
        customer_groups.group_number,
        replicates.replicate,
        {{ hash_bucket(
            as_text('customer_groups.group_number') ~ " || '|' || "
            ~ as_text('replicates.replicate')
        ) }} as bucket
    from customer_groups
    cross join replicates

),

weights as (

    select
        group_number,
        replicate,
        -- Cumulative Poisson(1) probabilities times 2^32.
        case
            when bucket < 1580030169 then 0
            when bucket < 3160060338 then 1
            when bucket < 3950075423 then 2
            when bucket < 4213413784 then 3
            when bucket < 4279248374 then 4
            when bucket < 4292415293 then 5
            when bucket < 4294609779 then 6
            else 7
        end as weight
    from drawn_groups

),

replicated as (

    select
        counts.definition_id,
        counts.horizon_days,
        weights.replicate,
        sum(weights.weight * (counts.called_lost_count - counts.false_lost_count))
            as rightly_lost_count,
        sum(weights.weight * counts.gone_count) as gone_count,
        sum(weights.weight * counts.rightly_kept_count) as rightly_kept_count,
        sum(weights.weight * (counts.customer_count - counts.gone_count)) as repurchased_count
    from counts
    inner join weights on counts.group_number = weights.group_number
    where weights.weight > 0
    group by counts.definition_id, counts.horizon_days, weights.replicate

),

replicated_scores as (

    select
        definition_id,
        horizon_days,
        replicate,
        case
            when gone_count > 0 and repurchased_count > 0
                then
                    {{ float_quotient('rightly_lost_count', '2 * gone_count') }}
                    + {{ float_quotient('rightly_kept_count', '2 * repurchased_count') }}
        end as balanced_accuracy
    from replicated

),

differences as (

    select
        replicated_scores.definition_id,
        replicated_scores.horizon_days,
        replicated_scores.balanced_accuracy - best.balanced_accuracy as difference,
        row_number() over (
            partition by replicated_scores.definition_id, replicated_scores.horizon_days
            order by
                replicated_scores.balanced_accuracy - best.balanced_accuracy nulls last,
                replicated_scores.replicate nulls last
        ) as draw_order,
        count(*) over (
            partition by replicated_scores.definition_id, replicated_scores.horizon_days
        ) as difference_count
    from replicated_scores
    inner join scores
        on replicated_scores.horizon_days = scores.horizon_days and scores.is_best
    inner join replicated_scores as best
        on
            scores.definition_id = best.definition_id
            and replicated_scores.horizon_days = best.horizon_days
            and replicated_scores.replicate = best.replicate
    where replicated_scores.balanced_accuracy is not null and best.balanced_accuracy is not null

),

-- The replicates at 2.5% and 97.5% of those that could be compared.
final as (

    select
        definition_id,
        horizon_days,
        {{ rounded(
            'max(case when 40 * draw_order >= difference_count'
            ~ ' and 40 * (draw_order - 1) < difference_count then difference end)', 6
        ) }} as difference_low,
        {{ rounded(
            'max(case when 40 * draw_order >= 39 * difference_count'
            ~ ' and 40 * (draw_order - 1) < 39 * difference_count then difference end)', 6
        ) }} as difference_high
    from differences
    group by definition_id, horizon_days

)

select * from final
