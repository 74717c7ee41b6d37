{#-
    The day on which a silence becomes a loss by a definition, whether or not it lasts so long; null
    if it never does. `silences` are rows of int_silences, `thresholds` of int_churn_thresholds.
-#}
{% macro lost_on(silences, thresholds) -%}
    case {{ thresholds }}.method
        when 'nobody_lost' then cast(null as date)
        when 'season' then {{ silences }}.season_passed_on
        when 'cadence'
            then {{ plus_days(
                silences ~ ".started_on",
                "1 + least(greatest("
                ~ whole_quotient(
                    thresholds ~ ".gap_hundredths * " ~ silences ~ ".expected_gap_days_total",
                    "100 * " ~ silences ~ ".expected_gap_count",
                ) ~ ", " ~ thresholds ~ ".minimum_days), " ~ thresholds ~ ".maximum_days)",
            ) }}
        else {{ plus_days(
            silences ~ ".started_on",
            "1 + case when " ~ silences ~ ".purchase_day_count = 1 then "
            ~ thresholds ~ ".first_time_days else " ~ thresholds ~ ".repeat_days end",
        ) }}
    end
{%- endmacro %}
