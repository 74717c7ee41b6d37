-- A day's revision changes whenever a load changed any of its rows, for it names the batch of every
-- file that has rows on that day, and whenever the one setting that days are computed with does.
with load_days as (

    select * from {{ ref('stg_load_days') }}

),

final as (

    select
        ordered_on,
        md5(
            {{ dbt.listagg(
                "source_file || ' ' || batch_id", "'|'", "order by source_file nulls last"
            ) }}
            || '|{{ var("margin_rate") }}'
        ) as revision
    from load_days
    group by ordered_on

)

select * from final
