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

tiers as (

    select distinct value_tier
    from silences

),

buyers as (

    select
        buyers.customer_id,
        extract(year from buyers.first_purchase_on) as acquisition_year,
        records.acquisition_source,
        records.region
    from {{ ref('int_buyers') }} as buyers
    left join {{ ref('int_customer_records') }} as records
        on buyers.customer_id = records.customer_id

),

customer_kinds as (

    select distinct
        acquisition_year,
        acquisition_source,
        region
    from buyers

),

-- Numbered, so that silences are grouped by whole numbers and not by names.
segments as (

    select
        customer_kinds.acquisition_year,
        customer_kinds.acquisition_source,
        customer_kinds.region,
        tiers.value_tier,
        row_number() over (
            order by
                customer_kinds.acquisition_year asc nulls last,
                customer_kinds.acquisition_source asc nulls last,
                customer_kinds.region asc nulls last,
                tiers.value_tier asc nulls last
        ) as segment_number
    from customer_kinds
    cross join tiers

),

-- A silence that begins and ends within a month was running as none began.
running as (

    select
        silences.*,
        segments.segment_number,
        {{ next_month(month_of('silences.started_on')) }} as first_month,
        coalesce(silences.ended_on, {{ as_of_date() }}) as watched_until
    from silences
    inner join buyers on silences.customer_id = buyers.customer_id
    inner join segments
        on
            buyers.acquisition_year = segments.acquisition_year
            and buyers.acquisition_source is not distinct from segments.acquisition_source
            and buyers.region is not distinct from segments.region
            and silences.value_tier = segments.value_tier
    where
        {{ next_month(month_of('silences.started_on')) }}
        <= coalesce(silences.ended_on, {{ as_of_date() }})

),

judged as (

    select
        thresholds.definition_order,
        running.segment_number,
        running.first_month,
        running.watched_until,
        running.value_at_stake,
        {{ lost_on('running', 'thresholds') }} as lost_on
    from running
    inner join thresholds
        on
            running.started_on >= thresholds.valid_from
            and running.started_on < thresholds.valid_before

),

spans as (

    select
        definition_order,
        segment_number,
        first_month,
        {{ month_of('least(lost_on, watched_until)') }} as last_month,
        count(*) as active_count,
        count_if(lost_on <= watched_until) as lost_count,
        sum(value_at_stake) filter (where lost_on <= watched_until) as value_at_stake
    from judged
    where first_month <= least(lost_on, watched_until)
    group by all

),

final as (

    select
        thresholds.definition_id,
        spans.first_month,
        spans.last_month,
        segments.value_tier,
        {{ as_text('segments.acquisition_year') }} as acquisition_year,
        segments.acquisition_source,
        segments.region,
        spans.active_count,
        spans.lost_count,
        cast(coalesce(spans.value_at_stake, 0) as decimal(18, 2)) as value_at_stake
    from spans
    inner join thresholds on spans.definition_order = thresholds.definition_order
    inner join segments on spans.segment_number = segments.segment_number

)

select * from final
