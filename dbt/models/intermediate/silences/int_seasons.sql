-- By the definitions whose loss is a season that passed without activity: which silences the season
-- is the first whole one for, and the day after its end.
with seasons as (

    {% for season in declared_seasons() -%}
        select
            cast('{{ season.silences_from }}' as date) as silences_from,
            cast('{{ season.silences_before }}' as date) as silences_before,
            {{ plus_days("cast('" ~ season.ends_on ~ "' as date)", 1) }} as passed_on
        {{ "union all" if not loop.last }}
    {% else -%}
        select
            cast(null as date) as silences_from,
            cast(null as date) as silences_before,
            cast(null as date) as passed_on
        where false
    {%- endfor %}

),

final as (

    select * from seasons
    where silences_from < silences_before

)

select * from final
