{#-
    The score (0 to 100) of a value among the customers who have one: the share of them who have no
    more, in per cent, so that equal values share a score (cumulative distribution). Whoever has none
    scores 0, however many they are.
-#}
{% macro power_score(value, has_value, direction='asc') -%}
    case
        when {{ has_value }}
            then cast({{ rounded(
                '100 * cume_dist() over (partition by ' ~ has_value ~ ' order by ' ~ value ~ ' '
                ~ direction ~ ' nulls last)', 2
            ) }} as decimal(5, 2))
        else 0
    end
{%- endmacro %}


{#- The mean of the scores that are known, each with the same weight; null where none is. -#}
{% macro mean_of_known_scores(scores) -%}
    {%- set sums, counts = [], [] -%}
    {%- for score in scores -%}
        {%- do sums.append("coalesce(" ~ score ~ ", 0)") -%}
        {%- do counts.append("case when " ~ score ~ " is null then 0 else 1 end") -%}
    {%- endfor -%}
    cast(
        case
            when coalesce({{ scores | join(", ") }}) is not null
                then {{ rounded(
                    float_quotient(
                        "(" ~ sums | join(" + ") ~ ")", "(" ~ counts | join(" + ") ~ ")"
                    ), 2
                ) }}
        end as decimal(5, 2)
    )
{%- endmacro %}
