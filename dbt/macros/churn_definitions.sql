{#-
    The calendar of every declared season: from the season before the first business day to the
    one that a silence beginning on the as-of date waits for. A silence waits for the first season
    that begins after it.
-#}
{% macro declared_seasons() -%}
    {%- set found = [] -%}
    {%- for version in versions_of("churn_definitions") if version.method == "season" -%}
        {%- set calendar = [] -%}
        {%- set first_year = var("first_day")[:4] | int - 1 -%}
        {%- set last_year = var("as_of_date")[:4] | int + 2 -%}
        {%- for year in range(first_year, last_year + 1) -%}
            {%- for start, end in version.seasons | sort -%}
                {%- set end_year = year + (1 if end < start else 0) -%}
                {%- do calendar.append(("%04d-%s" | format(year, start), "%04d-%s" | format(end_year, end))) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for starts_on, ends_on in calendar[1:] -%}
            {%- do found.append({
                "silences_from": [calendar[loop.index0][0], version.valid_from] | max,
                "silences_before": [starts_on, version.valid_before] | min,
                "ends_on": ends_on,
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{#-
    Every definition the back-test compares: the ones in force as `active`, and the contestants.
    Contestants that need a fixed threshold beside their own parameter take the last version's,
    whatever the as-of date, so that a past day is judged by what today's run judges it by.
-#}
{% macro compared_definitions() -%}
    {%- set lost_days = var("churn_definitions")[-1].lost_days -%}
    {%- set defaults = {
        "lost_days": lost_days, "gap_multiple": "3.00", "quantile": "0.80",
        "valid_from": "0001-01-01", "valid_before": "9999-12-31",
    } -%}
    {%- set found = [] -%}
    {%- for version in versions_of("churn_definitions") -%}
        {%- do found.append(dict(version, definition_id="active")) -%}
    {%- endfor -%}
    {%- for days in (30, 60, 90, 180) -%}
        {%- do found.append(dict(
            defaults, definition_id="fixed_%s" | format(days), method="fixed", lost_days=days,
            description="More than %s days without activity." | format(days),
            description_zh="超过 %s 天没有活动。" | format(days),
        )) -%}
    {%- endfor -%}
    {%- do found.append(dict(
        defaults, definition_id="gap_percentile_80", method="gap_percentile",
        description="Longer than four fifths of the closed gaps; open gaps are left out, so it is too short.",
        description_zh="超过五分之四的已结束间隔；未结束的间隔未计入，因此偏短。",
    )) -%}
    {%- for multiple in (2, 3) -%}
        {%- do found.append(dict(
            defaults, definition_id="cadence_%s" | format(multiple), method="cadence",
            gap_multiple="%s.00" | format(multiple),
            description="More than %s of the customer's own expected gaps, within a third and twice of %s days."
                | format(multiple, lost_days),
            description_zh="超过客户自身预期间隔的 %s 倍，限于 %s 天的三分之一至两倍。"
                | format(multiple, lost_days),
        )) -%}
    {%- endfor -%}
    {%- for percent in (80, 90) -%}
        {%- do found.append(dict(
            defaults, definition_id="survival_%s" | format(percent), method="survival",
            quantile="0.%s" | format(percent),
            description="Longer than it takes %s%% of those who come back (Kaplan-Meier, first-time and repeat buyers apart)."
                | format(percent),
            description_zh="超过 %s%% 的回头客回来所需的时间（Kaplan-Meier，首次与重复购买者分开）。"
                | format(percent),
        )) -%}
    {%- endfor -%}
    {%- do found.append(dict(
        defaults, definition_id="everybody_lost", method="everybody_lost",
        description="Everybody is lost, a yardstick.",
        description_zh="所有人都算流失（对照）。",
    )) -%}
    {%- do found.append(dict(
        defaults, definition_id="nobody_lost", method="nobody_lost",
        description="Nobody is lost, a yardstick.",
        description_zh="没有人算流失（对照）。",
    )) -%}
    {{ return(found) }}
{%- endmacro %}
