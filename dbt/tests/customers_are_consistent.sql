{{ config(meta={'dagster': {'ref': {'name': 'customers'}}}) }}

-- Dates, counts and labels of a customer tell the same story.
select customer_id
from {{ ref('customers') }}
where
    known_on > first_purchase_on
    or first_purchase_on > last_purchase_on
    or last_purchase_on > {{ as_of_date() }}
    or days_since_last_purchase < 0
    or (lifecycle_stage = 'prospect') <> (purchase_day_count = 0)
    or (lifecycle_stage = 'prospect') <> (last_purchase_on is null)
    or (lifecycle_stage = 'prospect') <> (days_since_last_purchase is null)
    or (lifecycle_stage = 'prospect') <> (expected_gap_days is null)
    or (lifecycle_stage = 'prospect') <> (value_tier is null)
    or (lifecycle_stage = 'lost') <> (lost_on is not null)
    {% if var('churn_basis') == 'purchase' %}
        or (lifecycle_stage = 'lost') <> (coalesce(days_since_last_purchase, 0) > lost_threshold_days)
        or lost_on <> {{ plus_days('last_purchase_on', 'lost_threshold_days + 1') }}
    {% endif %}
    {% if var('value_tiers') | map(attribute='measure') | unique | list == ['revenue'] %}
        or (value_at_stake <= 0 and value_tier <> 'low')
    {% endif %}
