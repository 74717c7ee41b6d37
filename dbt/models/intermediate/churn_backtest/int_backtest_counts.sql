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

-- Numbered, so that calls are grouped by whole numbers and not by names.
thresholds as (

    select
        *,
        dense_rank() over (order by definition_id nulls last) as definition_number
    from {{ ref('int_churn_thresholds') }}

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
        thresholds.definition_number,
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

counted as (

    select
        definition_number,
        cutoff_on,
        group_number,
        has_180d_outcome,
        count(*) as customer_count,
        count_if(is_called_lost) as called_lost_count,
        count_if(is_called_lost and has_bought_within_90d) as false_lost_90d_count,
        count_if(is_called_lost and has_bought_within_180d) as false_lost_180d_count,
        count_if(not is_called_lost and not has_bought_within_90d) as missed_90d_count,
        count_if(not is_called_lost and not has_bought_within_180d) as missed_180d_count,
        count_if(not has_bought_within_90d) as gone_90d_count,
        count_if(not has_bought_within_180d) as gone_180d_count
    from calls
    group by definition_number, cutoff_on, group_number, has_180d_outcome

),

definitions as (

    select distinct
        definition_id,
        definition_number
    from thresholds

),

final as (

    {% for days in (90, 180) %}
        select
            definitions.definition_id,
            counted.cutoff_on,
            {{ days }} as horizon_days,
            counted.group_number,
            counted.customer_count,
            counted.called_lost_count,
            counted.false_lost_{{ days }}d_count as false_lost_count,
            counted.missed_{{ days }}d_count as missed_count,
            counted.gone_{{ days }}d_count as gone_count
        from counted
        inner join definitions on counted.definition_number = definitions.definition_number
        where {{ "counted.has_180d_outcome" if days == 180 else "true" }}
        {{ "union all" if not loop.last }}
    {% endfor %}

)

select * from final
