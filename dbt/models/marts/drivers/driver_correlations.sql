{%- set significance = 0.05 -%}

with correlations as (

    select * from {{ ref('int_driver_correlations') }}

),

deviates as (

    select
        *,
        case
            when rank_correlation is not null
                then {{ normal_deviate('rank_correlation', 'customer_count') }}
        end as deviate
    from correlations

),

tested as (

    select
        *,
        {{ two_sided_p_value('deviate') }} as p_value
    from deviates

),

ordered as (

    select
        *,
        row_number() over tests as test_order,
        count(*) over (partition by p_value is null) as test_count
    from tested
    window tests as (
        partition by p_value is null
        order by
            p_value asc nulls last,
            outcome asc nulls last,
            feature asc nulls last,
            feature_level asc nulls last
    )

),

-- Benjamini and Hochberg (1995), Controlling the false discovery rate, Journal of the Royal
-- Statistical Society B 57: the least share of false ones among all that are called.
controlled as (

    select
        *,
        case
            when p_value is not null
                then least(
                    min({{ float_quotient('p_value * test_count', 'test_order') }}) over (
                        partition by p_value is null
                        order by test_order nulls last
                        rows between current row and unbounded following
                    ), 1
                )
        end as q_value
    from ordered

),

final as (

    select
        outcome,
        feature,
        feature_level,
        'association' as relation,
        cast(customer_count as integer) as customer_count,
        cast(level_customer_count as integer) as level_customer_count,
        cast({{ rounded('rank_correlation', 6) }} as decimal(9, 6)) as rank_correlation,
        cast({{ rounded('p_value', 6) }} as decimal(9, 6)) as p_value,
        cast({{ rounded('q_value', 6) }} as decimal(9, 6)) as q_value,
        case
            when rank_correlation > 0 then 'positive'
            when rank_correlation < 0 then 'negative'
        end as direction,
        case when p_value is not null then q_value <= {{ significance }} end as is_beyond_chance,
        case
            when note is not null then 'not judged: ' || note
            when q_value > {{ significance }} then 'no association beyond chance'
            when rank_correlation > 0
                then 'goes with more of the outcome; an association, which need not be a cause'
            else 'goes with less of the outcome; an association, which need not be a cause'
        end as finding
    from controlled

)

select * from final
