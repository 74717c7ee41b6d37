{#- Every type of alert that transactions can raise. -#}
{% macro alert_types() -%}
    {{ return([
        "overdue", "value_down", "volume_down", "basket_narrowing", "return_share_rising",
    ]) }}
{%- endmacro %}


{#-
    Months within which an alert must be followed by a loss to have been right: as long as a loss
    takes by the latest definition, and one to two months for the customer to leave.
-#}
{% macro alert_horizon_months() -%}
    {{ return(var("churn_definitions")[-1].lost_days // 30 + 2) }}
{%- endmacro %}
