{%- set sample_size = 50000 -%}
{%- set group_count = 500 -%}

-- Buyers whose histories estimate and judge definitions: all of them up to the sample's size, then
-- a sample by hash, the same on any engine. The groups are what the bootstrap draws.
with buyers as (

    select * from {{ ref('int_buyers') }}

),

bucketed as (

    select
        customer_id,
        {{ hash_bucket("customer_id || '|sample'") }} as sample_bucket,
        {{ hash_bucket("customer_id || '|group'") }} as group_bucket,
        count(*) over () as buyer_count
    from buyers

),

final as (

    select
        customer_id,
        cast(group_bucket % {{ group_count }} as integer) as group_number
    from bucketed
    where sample_bucket * buyer_count < {{ sample_size }} * cast(4294967296 as bigint)

)

select * from final
