with definitions as (

    select * from {{ ref('int_churn_definitions') }}

),

thresholds as (

    select * from {{ ref('int_churn_thresholds') }}
    where cutoff_on = {{ as_of_date() }}

),

final as (

    select
        definitions.definition_id,
        definitions.method,
        '{{ var("churn_basis") }}' as basis,
        definitions.valid_from,
        definitions.definition_id = 'active'
        and definitions.valid_from <= {{ as_of_date() }}
        and definitions.valid_before > {{ as_of_date() }} as is_in_force,
        case
            when definitions.definition_id not in ('everybody_lost', 'nobody_lost')
                then thresholds.first_time_days
        end as first_time_lost_days,
        case
            when definitions.definition_id not in ('everybody_lost', 'nobody_lost')
                then thresholds.repeat_days
        end as repeat_lost_days,
        cast(
            case when definitions.method = 'cadence' then definitions.gap_hundredths * 0.01 end
            as decimal(9, 2)
        ) as gap_multiple,
        case when definitions.method = 'cadence' then thresholds.minimum_days end
            as minimum_lost_days,
        case when definitions.method = 'cadence' then thresholds.maximum_days end
            as maximum_lost_days,
        cast(
            case
                when definitions.method in ('survival', 'gap_percentile')
                    then definitions.quantile_hundredths * 0.01
            end as decimal(9, 2)
        ) as quantile,
        definitions.description,
        definitions.description_zh,
        {% if var('churn_basis') == 'interaction' and not var('has_interactions') -%}
            'the source has no interactions: purchases stand in'
            || case when thresholds.note is null then '' else '; ' || thresholds.note end as note
        {%- else -%}
            thresholds.note
        {%- endif %}
    from definitions
    inner join thresholds
        on
            definitions.definition_id = thresholds.definition_id
            and definitions.valid_from = thresholds.valid_from

)

select * from final
