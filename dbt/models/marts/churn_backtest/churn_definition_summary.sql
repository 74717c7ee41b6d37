with scores as (

    select * from {{ ref('int_backtest_scores') }}

),

differences as (

    select * from {{ ref('int_backtest_differences') }}

),

best as (

    select
        horizon_days,
        max(case when is_best then definition_id end) as best_definition_id,
        max(case when is_best then balanced_accuracy end) as best_balanced_accuracy
    from scores
    group by horizon_days

),

compared as (

    select
        scores.*,
        best.best_definition_id,
        scores.definition_id = 'active' as is_active,
        cast(scores.balanced_accuracy - best.best_balanced_accuracy as decimal(9, 6))
            as difference_from_best,
        cast(differences.difference_low as decimal(9, 6)) as difference_low,
        cast(differences.difference_high as decimal(9, 6)) as difference_high,
        differences.difference_high < 0 as is_worse_than_best
    from scores
    inner join best on scores.horizon_days = best.horizon_days
    left join differences
        on
            scores.definition_id = differences.definition_id
            and scores.horizon_days = differences.horizon_days

),

final as (

    select
        definition_id,
        cast(horizon_days as integer) as horizon_days,
        is_active,
        is_best,
        is_eligible,
        cast(cutoff_count as integer) as cutoff_count,
        cast(customer_count as integer) as customer_count,
        cast(called_lost_count as integer) as called_lost_count,
        cast(false_lost_count as integer) as false_lost_count,
        cast(missed_count as integer) as missed_count,
        cast(gone_count as integer) as gone_count,
        false_lost_rate,
        missed_rate,
        accuracy,
        balanced_accuracy,
        difference_from_best,
        difference_low,
        difference_high,
        is_worse_than_best,
        case
            when balanced_accuracy is null
                then
                    'cannot be judged: within ' || {{ as_text('horizon_days') }}
                    || ' days everybody bought again, or nobody'
            when best_definition_id is null
                then
                    'no definition qualifies: of those it calls lost, each sees more than '
                    || {{ percent_in_words(var('maximum_false_lost_share')) }}
                    || ' buy again within ' || {{ as_text('horizon_days') }} || ' days'
            when is_best then 'the best of those that qualify'
            when not is_eligible and called_lost_count = 0 then 'calls nobody lost'
            when not is_eligible
                then
                    'does not qualify: more than ' || {{ percent_in_words(var('maximum_false_lost_share')) }}
                    || ' of those it calls lost buy again within '
                    || {{ as_text('horizon_days') }} || ' days'
            when is_worse_than_best
                then 'worse than ' || best_definition_id || ' beyond chance'
            when is_worse_than_best is null then 'cannot be compared'
            else 'not worse than ' || best_definition_id || ' beyond chance'
        end as finding
    from compared

)

select * from final
