-- The lifecycle rule that held for each customer on each day, as intervals without gap or overlap.
-- Every silence can change the rule on its first day and on a few later ones that are known
-- beforehand, in the order of precedence of the rules.
with known_customers as (

    select * from {{ ref('int_known_customers') }}

),

buyers as (

    select * from {{ ref('int_buyers') }}

),

silences as (

    select * from {{ ref('int_silences_judged') }}

),

signals as (

    select * from {{ ref('int_alert_signals') }}

),

alarming_months as (

    select * from {{ ref('int_alert_months') }}
    where is_alarming and alert_type <> 'overdue'

),

-- A signal puts a customer into alarm if its type had proved itself by then, until the next
-- purchase or loss.
alert_alarms as (

    select
        silences.customer_id,
        silences.started_on,
        min(greatest(signals.signalled_on, silences.started_on)) as alert_alarm_on
    from signals
    inner join silences
        on
            signals.customer_id = silences.customer_id
            {% if var('churn_basis') == 'interaction' %}
                and (
                    signals.next_purchased_on > silences.started_on
                    or signals.next_purchased_on is null
                )
                and (signals.signalled_on < silences.ended_on or silences.ended_on is null)
            {% else %}
                and signals.purchased_on = silences.last_purchase_on
            {% endif %}
            and (signals.next_lost_on > silences.started_on or signals.next_lost_on is null)
    inner join alarming_months
        on
            signals.alert_type = alarming_months.alert_type
            and {{ month_of('greatest(signals.signalled_on, silences.started_on)') }}
            = alarming_months.month
    group by silences.customer_id, silences.started_on

),

dated as (

    select
        silences.customer_id,
        silences.started_on,
        coalesce(silences.ended_on, {{ plus_days(as_of_date(), 1) }}) as ends_before,
        silences.value_at_stake,
        silences.first_rule_id,
        silences.vulnerable_on,
        alert_alarms.alert_alarm_on,
        silences.two_thirds_alarm_on,
        silences.own_rhythm_alarm_on,
        silences.lost_on,
        silences.lost_rule_id
    from silences
    left join alert_alarms
        on
            silences.customer_id = alert_alarms.customer_id
            and silences.started_on = alert_alarms.started_on

),

changes as (

    select
        known_customers.customer_id,
        known_customers.history_starts_on as changed_on,
        'prospect_never_bought' as rule_id,
        cast(0 as decimal(18, 2)) as value_at_stake
    from known_customers
    left join buyers on known_customers.customer_id = buyers.customer_id
    where
        buyers.customer_id is null
        or known_customers.history_starts_on < buyers.first_purchase_on

    union all

    select
        customer_id,
        started_on as changed_on,
        case when alert_alarm_on = started_on then 'alarm_by_alert' else first_rule_id end
            as rule_id,
        value_at_stake
    from dated

    union all

    select
        customer_id,
        vulnerable_on as changed_on,
        'vulnerable_no_rhythm' as rule_id,
        value_at_stake
    from dated
    where
        vulnerable_on < ends_before
        and vulnerable_on < least(two_thirds_alarm_on, own_rhythm_alarm_on, lost_on)

    union all

    select
        customer_id,
        alert_alarm_on as changed_on,
        'alarm_by_alert' as rule_id,
        value_at_stake
    from dated
    where
        alert_alarm_on > started_on
        and alert_alarm_on < ends_before
        and alert_alarm_on < least(two_thirds_alarm_on, own_rhythm_alarm_on, lost_on)

    union all

    select
        customer_id,
        two_thirds_alarm_on as changed_on,
        'alarm_over_two_thirds' as rule_id,
        value_at_stake
    from dated
    where
        two_thirds_alarm_on < ends_before
        and two_thirds_alarm_on < own_rhythm_alarm_on

    union all

    select
        customer_id,
        own_rhythm_alarm_on as changed_on,
        'alarm_over_own_rhythm' as rule_id,
        value_at_stake
    from dated
    where own_rhythm_alarm_on < ends_before and own_rhythm_alarm_on < lost_on

    union all

    select
        customer_id,
        lost_on as changed_on,
        lost_rule_id as rule_id,
        value_at_stake
    from dated
    where lost_on < ends_before

),

final as (

    {{ intervals_of_changes('changes') }}

)

select * from final
