{%- set client_days = var('client_purchase_days') -%}

-- The contact rule that held for each customer on each day: each begins with a date and none ends
-- but by the next.
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
    where purchase_number in (1, {{ client_days }})

),

dates as (

    select
        known_customers.customer_id,
        known_customers.history_starts_on as changed_on,
        1 as precedence,
        'never_contacted_yet' as rule_id,
        cast(0 as decimal(18, 2)) as value_at_stake
    from known_customers

    union all

    select
        first_contacts.customer_id,
        first_contacts.first_contact_on as changed_on,
        2 as precedence,
        'contacted_without_purchase' as rule_id,
        cast(0 as decimal(18, 2)) as value_at_stake
    from first_contacts
    left join buyers on first_contacts.customer_id = buyers.customer_id
    where
        first_contacts.first_contact_on < buyers.first_purchase_on
        or buyers.first_purchase_on is null

    union all

    select
        customer_id,
        purchased_on as changed_on,
        3 as precedence,
        case when purchase_number = 1 then 'bought_purchase_days' else 'high_repurchase_days' end
            as rule_id,
        value_at_stake
    from purchase_days

),

-- What happens on one day is decided by what counts most.
changes as (

    select
        customer_id,
        changed_on,
        max_by(rule_id, precedence) as rule_id,
        max_by(value_at_stake, precedence) as value_at_stake
    from dates
    group by customer_id, changed_on

),

final as (

    {{ intervals_of_changes('changes') }}

)

select * from final
