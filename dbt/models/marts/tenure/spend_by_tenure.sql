with recursive calendar as (

    select 0 as tenure_month

    union all

    select tenure_month + 1 as tenure_month
    from calendar
    where tenure_month < {{ tenure_months(days_between(first_day(), as_of_date())) }}

),

tenures as (

    select * from {{ ref('int_tenures') }}

),

tenure_months as (

    select * from {{ ref('int_tenure_months') }}

),

lost_months as (

    select * from {{ ref('int_lost_tenure_months') }}

),

-- Customers alike in cohort and time observed, so that what follows is of groups and not of customers.
groups as (

    select
        acquisition_month,
        acquisition_source,
        observed_month_count,
        max(latest_tenure_month) as latest_tenure_month,
        count(*) as customer_count
    from tenures
    group by all

),

changes as (

    select
        groups.acquisition_month,
        groups.acquisition_source,
        groups.observed_month_count,
        calendar.tenure_month,
        groups.customer_count,
        0 as lost_count,
        cast(0 as decimal(18, 2)) as net_revenue,
        cast(0 as decimal(18, 2)) as survivor_net_revenue
    from groups
    inner join calendar on groups.observed_month_count > calendar.tenure_month

    union all

    select
        tenures.acquisition_month,
        tenures.acquisition_source,
        tenures.observed_month_count,
        tenure_months.tenure_month,
        0 as customer_count,
        0 as lost_count,
        tenure_months.net_revenue,
        case when tenure_months.is_lost then 0 else tenure_months.net_revenue end
            as survivor_net_revenue
    from tenure_months
    inner join tenures on tenure_months.customer_id = tenures.customer_id

    -- A loss takes a customer out of the survivors, coming back brings them in again.
    {% for lost_month, count in {'first_lost_month': 1, 'regained_month': -1}.items() %}
        union all

        select
            tenures.acquisition_month,
            tenures.acquisition_source,
            tenures.observed_month_count,
            lost_months.{{ lost_month }} as tenure_month,
            0 as customer_count,
            {{ count }} as lost_count,
            0 as net_revenue,
            0 as survivor_net_revenue
        from lost_months
        inner join tenures on lost_months.customer_id = tenures.customer_id
        where lost_months.{{ lost_month }} < tenures.observed_month_count
    {% endfor %}

),

summed as (

    select
        acquisition_month,
        acquisition_source,
        observed_month_count,
        tenure_month,
        sum(customer_count) as customer_count,
        sum(lost_count) as lost_count,
        sum(net_revenue) as net_revenue,
        sum(survivor_net_revenue) as survivor_net_revenue
    from changes
    group by all

),

cumulated as (

    select
        acquisition_month,
        acquisition_source,
        tenure_month,
        customer_count,
        customer_count - sum(lost_count) over so_far as survivor_count,
        net_revenue,
        survivor_net_revenue,
        sum(net_revenue) over so_far as cumulative_net_revenue
    from summed
    window so_far as (
        partition by acquisition_month, acquisition_source, observed_month_count
        order by tenure_month nulls last
        rows between unbounded preceding and current row
    )

),

{% set segments = {
    'all': "'all'",
    'acquisition_month': 'substr(' ~ as_text('acquisition_month') ~ ', 1, 7)',
    'acquisition_source': 'acquisition_source',
} -%}
acquired as (

    {% for segment, value in segments.items() %}
        select
            '{{ segment }}' as segment,
            {{ value }} as segment_value,
            sum(customer_count) as customer_count,
            max(latest_tenure_month) as latest_tenure_month
        from groups
        where {{ value }} is not null
        group by all
        {{ "union all" if not loop.last }}
    {% endfor %}

),

observed as (

    {% for segment, value in segments.items() %}
        select
            '{{ segment }}' as segment,
            {{ value }} as segment_value,
            tenure_month,
            sum(customer_count) as customer_count,
            sum(survivor_count) as survivor_count,
            sum(net_revenue) as net_revenue,
            sum(survivor_net_revenue) as survivor_net_revenue,
            sum(cumulative_net_revenue) as cumulative_net_revenue
        from cumulated
        where {{ value }} is not null
        group by all
        {{ "union all" if not loop.last }}
    {% endfor %}

),

final as (

    select
        acquired.segment,
        acquired.segment_value,
        calendar.tenure_month,
        cast(acquired.customer_count as integer) as acquired_customer_count,
        cast(coalesce(observed.customer_count, 0) as integer) as observed_customer_count,
        -- Nothing and not zero where nobody has been observed for so long.
        cast(observed.survivor_count as integer) as survivor_count,
        {{ share('observed.survivor_count', 'observed.customer_count') }} as survival_rate,
        cast(observed.net_revenue as decimal(18, 2)) as net_revenue,
        cast(observed.survivor_net_revenue as decimal(18, 2)) as survivor_net_revenue,
        {{ amount_per('observed.net_revenue', 'observed.customer_count') }}
            as net_revenue_per_acquired_customer,
        case
            when observed.survivor_count > 0
                then {{ amount_per('observed.survivor_net_revenue', 'observed.survivor_count') }}
        end as net_revenue_per_survivor,
        {{ amount_per('observed.cumulative_net_revenue', 'observed.customer_count') }}
            as cumulative_net_revenue_per_acquired_customer,
        '{{ var("currency") }}' as currency,
        coalesce(observed.customer_count, 0) = acquired.customer_count as is_mature
    from acquired
    inner join calendar on acquired.latest_tenure_month >= calendar.tenure_month
    left join observed
        on
            acquired.segment = observed.segment
            and acquired.segment_value = observed.segment_value
            and calendar.tenure_month = observed.tenure_month

)

select * from final
