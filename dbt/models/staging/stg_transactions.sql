with transactions as (

    select * from {{ source('raw', 'transactions') }}

),

final as (

    select
        transaction_id,
        customer_id,
        ordered_on,
        amount,
        quantity,
        category,
        channel,
        discount_amount,
        cost_amount,
        excluded_reason is null as is_used,
        excluded_reason is null and line_type = 'sale' as is_sale_line,
        excluded_reason is null and line_type = 'return' as is_return_line
    from transactions

)

select * from final
