-- Each definition over all cutoffs, and the best of a horizon: the highest balanced accuracy among
-- those that do not call too many lost who come back. Accuracy alone would be no criterion: where
-- most are gone, calling everybody lost wins it. Of equals a fixed number of days wins, and of
-- these the one in force.
with counts as (

    select
        definition_id,
        horizon_days,
        count(distinct cutoff_on) as cutoff_count,
        sum(customer_count) as customer_count,
        sum(called_lost_count) as called_lost_count,
        sum(false_lost_count) as false_lost_count,
        sum(missed_count) as missed_count,
        sum(gone_count) as gone_count
    from {{ ref('int_backtest_counts') }}
    group by definition_id, horizon_days

),

definitions as (

    select
        definition_id,
        min(definition_order) as definition_order,
        bool_and(method = 'fixed') as is_plain
    from {{ ref('int_churn_definitions') }}
    group by definition_id

),

rated as (

    select
        counts.*,
        definitions.definition_order,
        definitions.is_plain,
        {{ backtest_rates('counts') }},
        counts.called_lost_count > 0
        and counts.false_lost_count <= {{ var('maximum_false_lost_share') }} * counts.called_lost_count
            as is_eligible
    from counts
    inner join definitions on counts.definition_id = definitions.definition_id

),

final as (

    select
        *,
        is_eligible and balanced_accuracy is not null
        and row_number() over (
            partition by horizon_days
            order by
                case when is_eligible then balanced_accuracy end desc nulls last,
                is_plain desc nulls last,
                definition_order asc nulls last
        ) = 1 as is_best
    from rated

)

select * from final
