{{
    config(
        materialized='incremental',
        on_schema_change='fail',
        contract={'enforced': true},
        pre_hook="{{ delete_stale_days() }}",
    )
}}

-- The one pass over the lines. Days that have not changed since they were computed are kept, so a
-- daily run reads a day's lines only. As-of is no concern here: whoever reads this table filters.
with transactions as (

    select * from {{ ref('stg_transactions') }}

),

day_revisions as (

    select * from {{ ref('int_day_revisions') }}

),

days_to_compute as (

    select
        ordered_on,
        revision
    from day_revisions
    {% if is_incremental() %}
        where ordered_on not in (select computed.ordered_on from {{ this }} as computed)
    {% endif %}

),

-- Days join after the grouping: a revision in the key would be hashed with every line.
days as (

    select
        customer_id,
        ordered_on,
        count_if(is_sale_line) as sale_line_count,
        -- A purchase day that names no order is one.
        greatest(
            count(distinct transaction_id) filter (where is_sale_line),
            least(count_if(is_sale_line), 1)
        ) as order_count,
        sum(quantity) filter (where is_sale_line) as sale_quantity,
        sum(amount) filter (where is_sale_line) as sale_amount,
        sum(discount_amount) filter (where is_sale_line) as discount_amount,
        -sum(amount) filter (where is_return_line and amount < 0) as return_amount,
        -- Whatever else counts; a return line above zero, by its rule, takes a return back.
        sum(amount) filter (
            where is_used and not is_sale_line and not (is_return_line and amount < 0)
        ) as adjustment_amount,
        sum(amount) filter (where is_used) as net_revenue,
        sum(
            case
                when cost_amount is null then amount * {{ var('margin_rate') }}
                else amount - cost_amount
            end
        ) filter (where is_used) as margin,
        -- Negative, so that the least is the greatest amount; engines order nulls differently.
        min({{ struct({
            'amount': '-amount',
            'has_no_category': 'category is null',
            'category': 'category',
            'has_no_channel': 'channel is null',
            'channel': 'channel',
        }) }}) filter (where is_sale_line) as main_line
    from transactions
    where
        customer_id is not null
        and ordered_on in (select days_to_compute.ordered_on from days_to_compute)
    group by customer_id, ordered_on

),

final as (

    select
        days.customer_id,
        days.ordered_on,
        cast(days.sale_line_count as integer) as sale_line_count,
        cast(days.order_count as integer) as order_count,
        cast(days.sale_quantity as decimal(18, 3)) as sale_quantity,
        cast(coalesce(days.sale_amount, 0) as decimal(18, 2)) as sale_amount,
        cast(coalesce(days.discount_amount, 0) as decimal(18, 2)) as discount_amount,
        cast(coalesce(days.return_amount, 0) as decimal(18, 2)) as return_amount,
        cast(coalesce(days.adjustment_amount, 0) as decimal(18, 2)) as adjustment_amount,
        cast(coalesce(days.net_revenue, 0) as decimal(18, 2)) as net_revenue,
        cast(coalesce(days.margin, 0) as decimal(18, 2)) as margin,
        {{ field('days.main_line', 'category') }} as main_category,
        {{ field('days.main_line', 'channel') }} as main_channel,
        days_to_compute.revision
    from days
    inner join days_to_compute on days.ordered_on = days_to_compute.ordered_on

)

select * from final
