{#-
    The tier of a value against the cut-offs of `int_value_tier_cutoffs`: the smallest value that
    is still high, and that is still middle. A value of zero or less is low whatever the others.
-#}
{% macro value_tier(value_at_stake) -%}
    case
        when {{ value_at_stake }} <= 0 then 'low'
        when {{ value_at_stake }} >= high_cutoff then 'high'
        when {{ value_at_stake }} >= middle_cutoff then 'middle'
        else 'low'
    end
{%- endmacro %}
