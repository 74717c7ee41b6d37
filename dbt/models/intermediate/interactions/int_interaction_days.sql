-- What customers did besides buying. A response without a date cannot be placed and is left out.
with acts as (

    select
        customer_id,
        occurred_on as interacted_on,
        is_referral
    from {{ ref('stg_interactions') }}
    where is_by_customer

    union all

    select
        customer_id,
        responded_on as interacted_on,
        false as is_referral
    from {{ ref('stg_campaign_responses') }}

    union all

    select
        customer_id,
        answered_on as interacted_on,
        false as is_referral
    from {{ ref('stg_exit_surveys') }}

),

final as (

    select
        customer_id,
        interacted_on,
        bool_or(is_referral) as has_referral
    from acts
    where interacted_on <= {{ as_of_date() }}
    group by customer_id, interacted_on

)

select * from final
