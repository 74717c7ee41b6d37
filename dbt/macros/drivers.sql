{#- The outcomes that may have drivers, each with the last day of tenure it is watched to. -#}
{% macro driver_outcomes() -%}
    {{ return({"repeat_purchase": 210, "later_net_revenue": 365}) }}
{%- endmacro %}


{#- What is known after a customer's first 30 days, and whether it has levels or is a number. -#}
{% macro driver_features() -%}
    {{ return({
        "first_basket_value": false,
        "first_discount_share": false,
        "second_purchase_within_30d": false,
        "first_category": true,
        "first_channel": true,
        "acquisition_source": true,
        "onboarding_event": true,
    }) }}
{%- endmacro %}


{#-
    The normal deviate as far out as a rank correlation of n customers is under no association. There
    rho * sqrt((n - 2) / (1 - rho^2)) follows Student's t with v = n - 2 degrees of freedom, nearly;
    Wallace (1959), Bounds on normal approximations to Student's and the chi-square distributions,
    Annals of Mathematical Statistics 30, takes t to (8 v + 1) / (8 v + 3) * sqrt(v * ln(1 + t^2 / v)),
    where 1 + t^2 / v is 1 / (1 - rho^2).
-#}
{% macro normal_deviate(rho, customer_count) -%}
    (
        {{ float_quotient("8 * " ~ customer_count ~ " - 15", "8 * " ~ customer_count ~ " - 13") }}
        * sqrt(({{ customer_count }} - 2) * -ln(greatest(1 - {{ rho }} * {{ rho }}, 1e-300)))
    )
{%- endmacro %}


{#-
    The chance that a normal deviate is as far from zero, in either direction: erfc(z / sqrt(2)) by
    Abramowitz and Stegun (1964), Handbook of mathematical functions, 7.1.26, to 1.5e-7. The deviate
    must be a column that is not negative.
-#}
{% macro two_sided_p_value(z) -%}
    {%- set t = "(1 / (1 + 0.3275911 * " ~ z ~ " / sqrt(2)))" -%}
    {%- set polynomial = ["1.061405429"] -%}
    {%- for coefficient in ["- 1.453152027", "+ 1.421413741", "- 0.284496736", "+ 0.254829592"] -%}
        {%- do polynomial.append("(" ~ polynomial[-1] ~ " * " ~ t ~ " " ~ coefficient ~ ")") -%}
    {%- endfor -%}
    ({{ polynomial[-1] }} * {{ t }} * exp(-{{ z }} * {{ z }} / 2))
{%- endmacro %}
