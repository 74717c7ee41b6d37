with known_customers as (

    select * from {{ ref('int_known_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

silences as (

    select * from {{ ref('int_silences_judged') }}
    where ended_on is null

),

{% for axis in ('lifecycle', 'loyalty', 'contact') %}
    {{ axis }}_rules as (

        select
            intervals.customer_id,
            intervals.rule_id,
            rules.stage
        from {{ ref('int_' ~ axis ~ '_intervals') }} as intervals
        inner join {{ ref('stage_rules') }} as rules on intervals.rule_id = rules.rule_id
        where intervals.valid_to = {{ as_of_date() }}

    ),

{% endfor %}
customer_revenue as (

    select * from {{ ref('int_customer_revenue') }}

),

first_contacts as (

    select * from {{ ref('int_first_contacts') }}

),

segments as (

    select * from {{ ref('int_customer_records') }}

),

losses as (

    select
        customer_id,
        count(*) as times_lost,
        count(regained_on) as times_regained
    from {{ ref('int_lost_episodes') }}
    group by customer_id

),

tier_cutoffs as (

    select * from {{ ref('int_value_tier_cutoffs') }}
    where is_in_force and month = {{ month_of(as_of_date()) }}

),

final as (

    select
        known_customers.customer_id,
        known_customers.known_on,
        buyers.first_purchase_on,
        buyers.last_purchase_on,
        first_contacts.last_interaction_on,
        coalesce(buyers.purchase_day_count, 0) as purchase_day_count,
        buyers.days_since_last_purchase,
        cast(
            {{ quotient('silences.expected_gap_days_total', 'silences.expected_gap_count', 2) }}
            as decimal(18, 2)
        ) as expected_gap_days,
        coalesce(customer_revenue.net_revenue, 0) as net_revenue,
        coalesce(customer_revenue.net_revenue_trailing_365d, 0) as net_revenue_trailing_365d,
        coalesce(buyers.value_at_stake, 0) as value_at_stake,
        '{{ var("currency") }}' as currency,
        lifecycle_rules.stage as lifecycle_stage,
        lifecycle_rules.rule_id as lifecycle_rule_id,
        loyalty_rules.stage as loyalty_stage,
        loyalty_rules.rule_id as loyalty_rule_id,
        contact_rules.stage as contact_stage,
        contact_rules.rule_id as contact_rule_id,
        silences.lost_threshold_days,
        case when lifecycle_rules.stage = 'lost' then silences.lost_on end as lost_on,
        cast(
            case
                when lifecycle_rules.stage <> 'lost'
                    then {{ days_between(as_of_date(), 'silences.lost_on') }}
            end as integer
        ) as days_until_lost,
        cast(coalesce(losses.times_lost, 0) as integer) as times_lost,
        cast(coalesce(losses.times_regained, 0) as integer) as times_regained,
        coalesce(losses.times_regained, 0) > 0 and lifecycle_rules.stage <> 'lost' as is_regained,
        case
            when buyers.customer_id is not null
                then {{ value_tier(tiered_value('tier_cutoffs.measure', 'buyers')) }}
        end as value_tier,
        segments.acquisition_source,
        segments.region
    from known_customers
    inner join lifecycle_rules on known_customers.customer_id = lifecycle_rules.customer_id
    inner join loyalty_rules on known_customers.customer_id = loyalty_rules.customer_id
    inner join contact_rules on known_customers.customer_id = contact_rules.customer_id
    left join buyers on known_customers.customer_id = buyers.customer_id
    left join silences on known_customers.customer_id = silences.customer_id
    left join customer_revenue on known_customers.customer_id = customer_revenue.customer_id
    left join first_contacts on known_customers.customer_id = first_contacts.customer_id
    left join segments on known_customers.customer_id = segments.customer_id
    left join losses on known_customers.customer_id = losses.customer_id
    -- One row, or none while nobody has bought.
    left join tier_cutoffs on true

)

select * from final
