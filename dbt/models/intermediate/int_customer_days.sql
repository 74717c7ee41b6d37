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

final as (

    select
        transactions.customer_id,
        transactions.ordered_on,
        cast(count_if(transactions.is_sale_line) as integer) as sale_line_count,
        cast(sum(transactions.quantity) filter (where transactions.is_sale_line) as decimal(18, 3))
            as sale_quantity,
        cast(
            coalesce(sum(transactions.amount) filter (where transactions.is_sale_line), 0)
            as decimal(18, 2)
        ) as sale_amount,
        cast(
            coalesce(-sum(transactions.amount) filter (
                where transactions.is_return_line and transactions.amount < 0
            ), 0)
            as decimal(18, 2)
        ) as return_amount,
        cast(
            coalesce(sum(transactions.amount) filter (where transactions.is_used), 0)
            as decimal(18, 2)
        ) as net_revenue,
        days_to_compute.revision
    from transactions
    inner join days_to_compute on transactions.ordered_on = days_to_compute.ordered_on
    where transactions.customer_id is not null
    group by all

)

select * from final
