with versions as (

    select * from {{ ref('int_value_tier_versions') }}

),

cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where month = {{ month_of(as_of_date()) }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

tiers as (

    select
        'high' as value_tier,
        1 as tier_order,
        'High value' as label,
        '高价值' as label_zh

    union all

    select
        'medium' as value_tier,
        2 as tier_order,
        'Middle value' as label,
        '中价值' as label_zh

    union all

    select
        'low' as value_tier,
        3 as tier_order,
        'Low value' as label,
        '低价值' as label_zh

),

counted as (

    select
        cutoffs.version,
        {{ value_tier(tiered_value('cutoffs.measure', 'buyers')) }} as value_tier,
        count(*) as customer_count,
        sum(buyers.value_at_stake) as value_at_stake,
        sum(buyers.margin_at_stake) as margin_at_stake
    from cutoffs
    cross join buyers
    group by all

),

final as (

    select
        versions.version,
        tiers.value_tier,
        tiers.tier_order,
        tiers.label,
        tiers.label_zh,
        versions.valid_from,
        case
            when versions.valid_before < cast('9999-12-31' as date)
                then {{ plus_days('versions.valid_before', -1) }}
        end as valid_to,
        versions.valid_from <= {{ as_of_date() }}
        and versions.valid_before > {{ as_of_date() }} as is_in_force,
        versions.measure,
        versions.method,
        {% for column, high, medium, type in (
            ('boundary', 'versions.high_boundary', 'versions.medium_boundary', 'decimal(18, 4)'),
            ('cutoff_amount', 'cutoffs.high_cutoff', 'cutoffs.medium_cutoff', 'decimal(18, 2)'),
        ) %}
            cast(
                case tiers.value_tier when 'high' then {{ high }} when 'medium' then {{ medium }} end
                as {{ type }}
            ) as {{ column }},
        {% endfor %}
        cast(coalesce(counted.customer_count, 0) as integer) as customer_count,
        cast(coalesce(counted.value_at_stake, 0) as decimal(18, 2)) as value_at_stake,
        cast(coalesce(counted.margin_at_stake, 0) as decimal(18, 2)) as margin_at_stake,
        '{{ var("currency") }}' as currency
    from versions
    cross join tiers
    left join cutoffs on versions.version = cutoffs.version
    left join counted
        on versions.version = counted.version and tiers.value_tier = counted.value_tier

)

select * from final
