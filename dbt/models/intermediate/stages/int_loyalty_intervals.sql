{%- set client_days = var('client_purchase_days') -%}

-- The loyalty rule that held for each customer on each day. It changes with the first interaction,
-- the first purchase days and, once there are enough of them, with alarm and loss.
with known_customers as (

    select * from {{ ref('int_known_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

first_contacts as (

    select * from {{ ref('int_first_contacts') }}

),

purchase_days as (

    select * from {{ ref('int_purchase_days') }}
    where purchase_number in (1, 2, {{ client_days }})

),

lifecycle_intervals as (

    select
        intervals.customer_id,
        intervals.valid_from,
        intervals.valid_to,
        intervals.value_at_stake,
        rules.stage in ('alarm', 'lost') as is_slipping
    from {{ ref('int_lifecycle_intervals') }} as intervals
    inner join buyers on intervals.customer_id = buyers.customer_id
    inner join {{ ref('stage_rules') }} as rules on intervals.rule_id = rules.rule_id
    where intervals.valid_to >= buyers.client_since

),

milestones as (

    select
        known_customers.customer_id,
        known_customers.history_starts_on,
        buyers.first_purchase_on,
        buyers.second_purchase_on,
        buyers.client_since,
        first_contacts.first_interaction_on,
        first_contacts.first_referral_on
    from known_customers
    left join buyers on known_customers.customer_id = buyers.customer_id
    left join first_contacts on known_customers.customer_id = first_contacts.customer_id

),

dates as (

    select
        customer_id,
        history_starts_on as changed_on,
        cast(0 as decimal(18, 2)) as value_at_stake,
        1 as precedence
    from milestones

    union all

    select
        customer_id,
        first_interaction_on as changed_on,
        cast(0 as decimal(18, 2)) as value_at_stake,
        1 as precedence
    from milestones
    where first_interaction_on < first_purchase_on or first_purchase_on is null

    union all

    select
        customer_id,
        purchased_on as changed_on,
        value_at_stake,
        2 as precedence
    from purchase_days

    union all

    select
        lifecycle_intervals.customer_id,
        lifecycle_intervals.valid_from as changed_on,
        lifecycle_intervals.value_at_stake,
        2 as precedence
    from lifecycle_intervals
    inner join milestones on lifecycle_intervals.customer_id = milestones.customer_id
    where lifecycle_intervals.valid_from > milestones.client_since

    union all

    select
        milestones.customer_id,
        milestones.first_referral_on as changed_on,
        latest_purchases.value_at_stake,
        2 as precedence
    from milestones
    inner join {{ ref('int_purchase_days') }} as latest_purchases
        on
            milestones.customer_id = latest_purchases.customer_id
            and milestones.first_referral_on >= latest_purchases.purchased_on
            and (
                milestones.first_referral_on < latest_purchases.next_purchased_on
                or latest_purchases.next_purchased_on is null
            )
    where milestones.first_referral_on > milestones.client_since

),

changes as (

    select
        customer_id,
        changed_on,
        max_by(value_at_stake, precedence) as value_at_stake
    from dates
    group by customer_id, changed_on

),

ruled as (

    select
        changes.customer_id,
        changes.changed_on,
        changes.value_at_stake,
        case
            when changes.changed_on >= milestones.client_since and lifecycle_intervals.is_slipping
                then 'repeat_client_slipping'
            when
                changes.changed_on >= milestones.client_since
                and changes.changed_on >= milestones.first_referral_on
                then 'advocate_client_with_referral'
            when changes.changed_on >= milestones.client_since then 'client_many_purchase_days'
            when changes.changed_on >= milestones.second_purchase_on then 'repeat_purchase_days'
            when changes.changed_on >= milestones.first_purchase_on
                then 'first_time_one_purchase_day'
            when changes.changed_on >= milestones.first_interaction_on then 'prospect_interacted'
            else 'suspect_no_interaction'
        end as rule_id
    from changes
    inner join milestones on changes.customer_id = milestones.customer_id
    left join lifecycle_intervals
        on
            changes.customer_id = lifecycle_intervals.customer_id
            and changes.changed_on >= lifecycle_intervals.valid_from
            and changes.changed_on <= lifecycle_intervals.valid_to

),

final as (

    {{ intervals_of_changes('ruled') }}

)

select * from final
