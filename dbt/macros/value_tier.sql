{#-
    The tier of a value against the cut-offs of `int_value_tier_cutoffs`: the smallest value that
    is still high, and that is still middle, both above zero.
-#}
{% macro value_tier(value, prefix="") -%}
    case
        when {{ value }} >= {{ prefix }}high_cutoff then 'high'
        when {{ value }} >= {{ prefix }}middle_cutoff then 'middle'
        else 'low'
    end
{%- endmacro %}
