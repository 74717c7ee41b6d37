with months as (

    select * from {{ ref('int_months') }}

),

buyers as (

    select
        customer_id,
        {{ month_of('first_purchase_on') }} as acquisition_month,
        {{ month_of('last_purchase_on') }} as last_month
    from {{ ref('int_buyers') }}

),

customer_months as (

    select * from {{ ref('int_customer_months') }}

),

lost_episodes as (

    select * from {{ ref('int_lost_episodes') }}

),

cohorts as (

    select
        acquisition_month,
        count(*) as customer_count
    from buyers
    group by acquisition_month

),

activity as (

    select
        buyers.acquisition_month,
        customer_months.month,
        count_if(customer_months.is_active) as bought_count,
        sum(customer_months.net_revenue) as net_revenue
    from buyers
    inner join customer_months on buyers.customer_id = customer_months.customer_id
    group by all

),

last_purchases as (

    select
        acquisition_month,
        last_month as month,
        count(*) as last_bought_count
    from buyers
    group by all

),

-- A loss takes a customer out of those not lost, coming back brings them in again.
losses as (

    select
        buyers.acquisition_month,
        {{ month_of('lost_episodes.lost_on') }} as month,
        1 as lost_count
    from lost_episodes
    inner join buyers on lost_episodes.customer_id = buyers.customer_id

    union all

    select
        buyers.acquisition_month,
        {{ month_of('lost_episodes.regained_on') }} as month,
        -1 as lost_count
    from lost_episodes
    inner join buyers on lost_episodes.customer_id = buyers.customer_id
    where lost_episodes.regained_on is not null

),

net_losses as (

    select
        acquisition_month,
        month,
        sum(lost_count) as lost_count
    from losses
    group by all

),

-- Every cohort has a cell for every month up to the as-of date, also where nobody came.
cells as (

    select
        cohorts.acquisition_month,
        cohorts.customer_count,
        months.month,
        months.is_over
    from cohorts
    inner join months on cohorts.acquisition_month <= months.month

),

filled as (

    select
        cells.acquisition_month,
        cells.customer_count,
        cells.is_over,
        {{ months_between('cells.acquisition_month', 'cells.month') }} as months_since,
        coalesce(activity.bought_count, 0) as bought_count,
        coalesce(activity.net_revenue, 0) as net_revenue,
        sum(coalesce(activity.net_revenue, 0)) over so_far as cumulative_net_revenue,
        sum(coalesce(last_purchases.last_bought_count, 0)) over from_now_on as not_yet_last_count,
        cells.customer_count - sum(coalesce(net_losses.lost_count, 0)) over so_far
            as not_lost_count
    from cells
    left join activity
        on
            cells.acquisition_month = activity.acquisition_month
            and cells.month = activity.month
    left join last_purchases
        on
            cells.acquisition_month = last_purchases.acquisition_month
            and cells.month = last_purchases.month
    left join net_losses
        on
            cells.acquisition_month = net_losses.acquisition_month
            and cells.month = net_losses.month
    window
        so_far as (
            partition by cells.acquisition_month
            order by cells.month nulls last
            rows between unbounded preceding and current row
        ),
        from_now_on as (
            partition by cells.acquisition_month
            order by cells.month nulls last
            rows between current row and unbounded following
        )

),

final as (

    select
        acquisition_month,
        cast(months_since as integer) as months_since,
        cast(customer_count as integer) as customer_count,
        cast(bought_count as integer) as retained_customer_count,
        {{ share('bought_count', 'customer_count') }} as retention_rate,
        cast(not_yet_last_count as integer) as still_buying_customer_count,
        {{ share('not_yet_last_count', 'customer_count') }} as still_buying_rate,
        cast(not_lost_count as integer) as not_lost_customer_count,
        {{ share('not_lost_count', 'customer_count') }} as not_lost_rate,
        cast(net_revenue as decimal(18, 2)) as net_revenue,
        {{ amount_per('cumulative_net_revenue', 'customer_count') }}
            as cumulative_net_revenue_per_customer,
        '{{ var("currency") }}' as currency,
        is_over as is_mature,
        -- Who bought before the data begins is taken for new in their first month.
        acquisition_month = min(acquisition_month) over () as is_left_censored
    from filled

)

select * from final
