-- How long each buyer has been one. The first purchase opens month 0 on its own day; a month counts
-- as observed once its last day is over, so no figure of it can still change.
with buyers as (

    select * from {{ ref('int_buyers') }}

),

customer_records as (

    select * from {{ ref('int_customer_records') }}

),

final as (

    select
        buyers.customer_id,
        buyers.first_purchase_on,
        {{ month_of('buyers.first_purchase_on') }} as acquisition_month,
        customer_records.acquisition_source,
        {{ tenure_months(days_between('buyers.first_purchase_on', as_of_date())) }}
            as latest_tenure_month,
        {{ tenure_months(days_between('buyers.first_purchase_on', as_of_date()) ~ ' + 1') }}
            as observed_month_count
    from buyers
    left join customer_records on buyers.customer_id = customer_records.customer_id

)

select * from final
