{%- set scores = {
    'recency': 'days_since_last_purchase desc', 'frequency': 'frequency asc', 'monetary': 'monetary asc',
} -%}

with buyers as (

    select * from {{ ref('int_buyers') }}

),

customer_revenue as (

    select * from {{ ref('int_customer_revenue') }}

),

rfm_groups as (

    select * from {{ ref('rfm_groups') }}

),

measured as (

    select
        buyers.customer_id,
        buyers.days_since_last_purchase,
        buyers.purchase_day_count as frequency,
        customer_revenue.net_revenue as monetary,
        count(*) over () as buyer_count
    from buyers
    inner join customer_revenue on buyers.customer_id = customer_revenue.customer_id

),

scored as (

    select
        -- Five times the share of buyers who are strictly worse, and one. Equal values share a rank.
        {% for score, ordering in scores.items() %}
            1 + {{ whole_quotient(
                '5 * (rank() over (order by ' ~ ordering ~ ' nulls last) - 1)', 'buyer_count'
            ) }} as {{ score }}_score,
        {% endfor %}
        customer_id,
        days_since_last_purchase,
        frequency,
        monetary
    from measured

),

averaged as (

    select
        *,
        {{ whole_quotient('frequency_score + monetary_score + 1', 2) }} as fm_score
    from scored

),

final as (

    select
        averaged.customer_id,
        averaged.days_since_last_purchase,
        averaged.frequency,
        averaged.monetary,
        '{{ var("currency") }}' as currency,
        cast(averaged.recency_score as integer) as recency_score,
        cast(averaged.frequency_score as integer) as frequency_score,
        cast(averaged.monetary_score as integer) as monetary_score,
        cast(averaged.fm_score as integer) as fm_score,
        {{ as_text('averaged.recency_score') }} || {{ as_text('averaged.frequency_score') }}
        || {{ as_text('averaged.monetary_score') }} as rfm_code,
        rfm_groups.rfm_group
    from averaged
    left join rfm_groups
        on
            averaged.recency_score = rfm_groups.recency_score
            and averaged.fm_score = rfm_groups.fm_score

)

select * from final
