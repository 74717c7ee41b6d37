-- What each definition said of the sampled customers as of each cutoff, and who of them bought
-- again; by the groups of customers that the bootstrap draws.
with sampled_customers as (

    select * from {{ ref('int_sampled_customers') }}

),

cutoffs as (

    select * from {{ ref('int_churn_cutoffs') }}
    where not is_as_of

),

silences as (

    select
        silences.*,
        sampled_customers.group_number
    from {{ ref('int_silences') }} as silences
    inner join sampled_customers on silences.customer_id = sampled_customers.customer_id

),

purchase_days as (

    select
        purchase_days.customer_id,
        purchase_days.purchased_on,
        purchase_days.next_purchased_on
    from {{ ref('int_purchase_days') }} as purchase_days
    inner join sampled_customers on purchase_days.customer_id = sampled_customers.customer_id

),

thresholds as (

    select * from {{ ref('int_churn_thresholds') }}

),

outcomes as (

    select
        cutoffs.cutoff_on,
        cutoffs.has_180d_outcome,
        purchase_days.customer_id,
        coalesce(
            purchase_days.next_purchased_on <= {{ plus_days('cutoffs.cutoff_on', 90) }}, false
        ) as has_bought_within_90d,
        coalesce(
            purchase_days.next_purchased_on <= {{ plus_days('cutoffs.cutoff_on', 180) }}, false
        ) as has_bought_within_180d
    from cutoffs
    inner join purchase_days
        on
            cutoffs.cutoff_on >= purchase_days.purchased_on
            and (
                cutoffs.cutoff_on < purchase_days.next_purchased_on
                or purchase_days.next_purchased_on is null
            )

),

calls as (

    select
        thresholds.definition_id,
        outcomes.cutoff_on,
        silences.group_number,
        outcomes.has_180d_outcome,
        outcomes.has_bought_within_90d,
        outcomes.has_bought_within_180d,
        coalesce({{ lost_on('silences', 'thresholds') }} <= outcomes.cutoff_on, false)
            as is_called_lost
    from outcomes
    inner join silences
        on
            outcomes.customer_id = silences.customer_id
            and outcomes.cutoff_on >= silences.started_on
            and (outcomes.cutoff_on < silences.ended_on or silences.ended_on is null)
    inner join thresholds
        on
            outcomes.cutoff_on = thresholds.cutoff_on
            and silences.started_on >= thresholds.valid_from
            and silences.started_on < thresholds.valid_before

),

both_horizons as (

    select
        definition_id,
        cutoff_on,
        group_number,
        90 as horizon_days,
        is_called_lost,
        has_bought_within_90d as has_bought
    from calls

    union all

    select
        definition_id,
        cutoff_on,
        group_number,
        180 as horizon_days,
        is_called_lost,
        has_bought_within_180d as has_bought
    from calls
    where has_180d_outcome

),

final as (

    select
        definition_id,
        cutoff_on,
        horizon_days,
        group_number,
        count(*) as customer_count,
        count_if(is_called_lost) as called_lost_count,
        count_if(is_called_lost and has_bought) as false_lost_count,
        count_if(not is_called_lost and not has_bought) as missed_count,
        count_if(not has_bought) as gone_count
    from both_horizons
    group by all

)

select * from final
