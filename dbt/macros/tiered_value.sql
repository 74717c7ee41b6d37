{#- What tiers of a measure compare, of a row that holds the measures of a purchase day. -#}
{% macro tiered_value(measure, row, prefix="") -%}
    case {{ measure }}
        when 'margin' then {{ row }}.{{ prefix }}margin_at_stake
        when 'expected_value' then {{ row }}.{{ prefix }}expected_value_at_stake
        else {{ row }}.{{ prefix }}value_at_stake
    end
{%- endmacro %}
