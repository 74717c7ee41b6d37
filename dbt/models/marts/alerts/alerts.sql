with alerts as (

    select * from {{ ref('int_alerts') }}

),

alert_texts as (

    {% for alert_type, metric, direction in [
        ('overdue', 'days of silence, against the expected gap', 'up'),
        ('value_down', 'net revenue per 30 days', 'down'),
        ('volume_down', 'quantity bought per 30 days', 'down'),
        ('basket_narrowing', 'sale lines per purchase day', 'down'),
        ('return_share_rising', 'share of sales returned', 'up'),
    ] %}
        select
            '{{ alert_type }}' as alert_type,
            '{{ metric }}' as metric,
            '{{ direction }}' as direction
        {{ "union all" if not loop.last }}
    {% endfor %}

),

final as (

    select
        alerts.customer_id,
        alerts.alert_type,
        alert_texts.metric,
        alerts.baseline,
        alerts.observed,
        alerts.threshold,
        alert_texts.direction,
        alerts.raised_on,
        case when alerts.cleared_on <= {{ as_of_date() }} then alerts.cleared_on end as cleared_on,
        case
            when alerts.cleared_on is null then 'open'
            when alerts.is_cleared_by_loss then 'lost'
            else 'recovered'
        end as outcome
    from alerts
    inner join alert_texts on alerts.alert_type = alert_texts.alert_type

)

select * from final
