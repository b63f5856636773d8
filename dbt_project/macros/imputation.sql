{#- A select with the typical value of a column in each group, and over all rows in the row without a group:
    columns `by`, `known` (how many rows have a value) and `typical`.
    Mean: to the nearest whole number. Median: the lower of two middle values. Mode: of several the lowest. -#}
{% macro typical_values(relation, column, method, by) -%}
    {%- if method == 'mode' %}
    select
        {{ by }},
        cast(sum(frequency) as bigint) as known,
        max(case when place = 1 then {{ column }} end) as typical
    from (
        select
            {{ by }},
            {{ column }},
            count(*) as frequency,
            row_number() over (partition by {{ by }} order by count(*) desc, {{ column }}) as place
        from {{ relation }}
        where {{ by }} is not null and {{ column }} is not null
        group by {{ by }}, {{ column }}
    ) as in_groups
    group by {{ by }}
    union all
    select
        null as {{ by }},
        cast(sum(frequency) as bigint) as known,
        max(case when place = 1 then {{ column }} end) as typical
    from (
        select
            {{ column }},
            count(*) as frequency,
            row_number() over (order by count(*) desc, {{ column }}) as place
        from {{ relation }}
        where {{ column }} is not null
        group by {{ column }}
    ) as overall
    {%- else %}
    select
        {{ by }},
        count({{ column }}) as known,
        {{ _typical_value(column, method) }} as typical
    from {{ relation }}
    where {{ by }} is not null
    group by {{ by }}
    union all
    select
        null as {{ by }},
        count({{ column }}) as known,
        {{ _typical_value(column, method) }} as typical
    from {{ relation }}
    {%- endif %}
{%- endmacro %}

{% macro _typical_value(column, method) -%}
    {%- if method == 'mean' -%}
        cast({{ integer_quotient(
            'cast(2 * sum(' ~ column ~ ') + count(' ~ column ~ ') as bigint)', 'nullif(2 * count(' ~ column ~ '), 0)'
        ) }} as bigint)
    {%- else -%}
        percentile_disc(0.5) within group (order by {{ column }})
    {%- endif -%}
{%- endmacro %}

{#- The value of a column, or where it is missing what is typical: of the group where that knows enough rows, else of
    all. `in_group` and `overall` are joined rows of `typical_values`. -#}
{% macro imputed(column, in_group, overall, fewest=5) -%}
    cast(coalesce(
        {{ column }},
        case when {{ in_group }}.known >= {{ fewest }} then {{ in_group }}.typical end,
        {{ overall }}.typical
    ) as bigint)
{%- endmacro %}
