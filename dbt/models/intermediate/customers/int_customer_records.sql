-- What the customer records of the source say; of several for one customer, the first by name.
with customers as (

    select * from {{ ref('stg_customers') }}

),

final as (

    select
        customer_id,
        min(acquisition_source) as acquisition_source,
        min(region) as region
    from customers
    where signed_up_on is null or signed_up_on <= {{ as_of_date() }}
    group by customer_id

)

select * from final
