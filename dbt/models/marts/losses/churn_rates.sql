with months as (

    select * from {{ ref('int_months') }}

),

spans as (

    select * from {{ ref('int_churn_spans') }}

),

counts as (

    select
        spans.definition_id,
        months.month,
        months.ended_on,
        months.is_complete_month,
        spans.value_tier,
        spans.acquisition_year,
        spans.acquisition_source,
        spans.region,
        sum(spans.active_count) as base_count,
        coalesce(sum(spans.lost_count) filter (where spans.last_month = months.month), 0)
            as lost_count,
        coalesce(sum(spans.value_at_stake) filter (where spans.last_month = months.month), 0)
            as value_at_stake
    from spans
    inner join months
        on spans.first_month <= months.month and spans.last_month >= months.month
    group by all

),

segmented as (

    {% for segment, value in {
        'all': "'all'", 'value_tier': 'value_tier', 'acquisition_year': 'acquisition_year',
        'acquisition_source': 'acquisition_source', 'region': 'region',
    }.items() %}
        select
            definition_id,
            month,
            ended_on,
            is_complete_month,
            '{{ segment }}' as segment,
            {{ value }} as segment_value,
            sum(base_count) as base_count,
            sum(lost_count) as lost_count,
            sum(value_at_stake) as value_at_stake
        from counts
        where {{ value }} is not null
        group by all
        {{ "union all" if not loop.last }}
    {% endfor %}

),

final as (

    select
        month,
        definition_id,
        segment,
        segment_value,
        cast(base_count as integer) as base_customer_count,
        cast(lost_count as integer) as lost_customer_count,
        {{ share('lost_count', 'base_count') }} as churn_rate,
        -- Losses are not spread evenly over a month, so a part of one says nothing of a year.
        cast(
            case
                when is_complete_month
                    then {{ rounded(
                        '1 - power(1 - ' ~ float_quotient('lost_count', 'base_count') ~ ', '
                        ~ float_quotient('365', days_between('month', 'ended_on') ~ ' + 1')
                        ~ ')', 6
                    ) }}
            end as decimal(9, 6)
        ) as annualised_churn_rate,
        cast(value_at_stake as decimal(18, 2)) as value_at_stake,
        '{{ var("currency") }}' as currency,
        is_complete_month
    from segmented

)

select * from final
