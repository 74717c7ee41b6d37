{%- set horizons = var("score_horizons") -%}
{%- set steps = (1, 2, 3) -%}

-- Days as of which scores are put to the test, by horizon: one, two and three horizons before the
-- as-of date. What is learnt from what followed the third is known on the second, and so on. A
-- cutoff needs a whole horizon of data before it, to say what the last period was.
with cutoffs as (

    {% for horizon in horizons %}
        {% for step in steps %}
            select
                {{ horizon }} as horizon_days,
                {{ step }} as step,
                {{ plus_days(as_of_date(), -horizon * step) }} as cutoff_on
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select * from cutoffs
    where {{ plus_days('cutoff_on', '1 - horizon_days') }} >= {{ first_day() }}

)

select * from final
