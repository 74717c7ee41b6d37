{#- What tiers of a measure compare, of a row that holds the measures of a purchase day. -#}
{% macro tiered_value(measure, row, prefix="") -%}
    case {{ measure }}
        when 'margin' then {{ row }}.{{ prefix }}margin_at_stake
        when 'expected_value' then {{ row }}.{{ prefix }}expected_value_at_stake
        else {{ row }}.{{ prefix }}value_at_stake
    end
{%- endmacro %}


{#-
    The tier of a value against the cut-offs of `int_value_tier_cutoffs`: the smallest value that
    is still high, and that is still medium, both above zero.
-#}
{% macro value_tier(value, prefix="") -%}
    case
        when {{ value }} >= {{ prefix }}high_cutoff then 'high'
        when {{ value }} >= {{ prefix }}medium_cutoff then 'medium'
        else 'low'
    end
{%- endmacro %}
