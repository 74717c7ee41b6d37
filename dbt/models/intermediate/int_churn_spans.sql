-- By every definition: how many silences were running, and not lost, as which months began, and how
-- many of them became a loss in the last of these months. Counts by segment, so that monthly rates
-- add up a small table and never walk through customers x months.
with silences as (

    select * from {{ ref('int_silences_judged') }}

),

thresholds as (

    select * from {{ ref('int_churn_thresholds') }}
    where
        cutoff_on = {{ as_of_date() }}
        and definition_id not in ('everybody_lost', 'nobody_lost')

),

segments as (

    select
        buyers.customer_id,
        {{ as_text('extract(year from buyers.first_purchase_on)') }} as acquisition_year,
        records.acquisition_source,
        records.region
    from {{ ref('int_buyers') }} as buyers
    left join {{ ref('int_customer_records') }} as records
        on buyers.customer_id = records.customer_id

),

judged as (

    select
        thresholds.definition_id,
        silences.customer_id,
        silences.started_on,
        silences.ended_on,
        silences.value_at_stake,
        silences.value_tier,
        {{ lost_on('silences', 'thresholds') }} as lost_on
    from silences
    inner join thresholds
        on
            silences.started_on >= thresholds.valid_from
            and silences.started_on < thresholds.valid_before

),

spans as (

    select
        definition_id,
        customer_id,
        value_at_stake,
        value_tier,
        {{ next_month(month_of('started_on')) }} as first_month,
        {{ month_of('least(lost_on, coalesce(ended_on, ' ~ as_of_date() ~ '), ' ~ as_of_date() ~ ')') }}
            as last_month,
        lost_on <= coalesce(ended_on, {{ as_of_date() }}) as is_lost
    from judged

),

final as (

    select
        spans.definition_id,
        spans.first_month,
        spans.last_month,
        spans.value_tier,
        segments.acquisition_year,
        segments.acquisition_source,
        segments.region,
        count(*) as active_count,
        count_if(spans.is_lost) as lost_count,
        cast(coalesce(sum(spans.value_at_stake) filter (where spans.is_lost), 0) as decimal(18, 2))
            as lost_value
    from spans
    inner join segments on spans.customer_id = segments.customer_id
    where spans.first_month <= spans.last_month
    group by all

)

select * from final
