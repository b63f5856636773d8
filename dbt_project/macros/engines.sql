{#- Everything in which the warehouse engines differ, so that the models are written once and give the
    same rows on each. An engine that is not named takes PostgreSQL's branch. -#}

{#- Whole-number division, cut towards zero. DuckDB's `/` would give a float. -#}
{% macro integer_quotient(dividend, divisor) -%}
    {%- if target.type == 'duckdb' -%}
        (({{ dividend }}) // ({{ divisor }}))
    {%- else -%}
        (({{ dividend }}) / ({{ divisor }}))
    {%- endif -%}
{%- endmacro %}

{#- Whole seconds from one moment to a later one. -#}
{% macro seconds_between(earlier, later) -%}
    {%- if target.type == 'duckdb' -%}
        ((epoch_us({{ later }}) - epoch_us({{ earlier }})) // 1000000)
    {%- else -%}
        cast(trunc(extract(epoch from ({{ later }} - {{ earlier }}))) as bigint)
    {%- endif -%}
{%- endmacro %}

{#- In a select list: one row for each day from the first to the last, both included. -#}
{% macro each_day(first_day, last_day) -%}
    {%- if target.type == 'duckdb' -%}
        cast(unnest(generate_series(
            cast({{ first_day }} as timestamp), cast({{ last_day }} as timestamp), interval '1 day'
        )) as date)
    {%- else -%}
        cast(generate_series(
            cast({{ first_day }} as timestamp), cast({{ last_day }} as timestamp), interval '1 day'
        ) as date)
    {%- endif -%}
{%- endmacro %}

{#- Aggregate: the value of the row that comes first in the order, among rows that have a value.
    The order must be unique, or engines may choose differently. -#}
{% macro first_by(value, order_by) -%}
    {%- if target.type == 'duckdb' -%}
        arg_min({{ value }}, {{ order_by }})
    {%- else -%}
        (array_agg({{ value }} order by {{ order_by }}) filter (where {{ value }} is not null))[1]
    {%- endif -%}
{%- endmacro %}

{#- Tell the planner how large a new table is. PostgreSQL does so by itself only minutes later and would
    join the next models blindly; DuckDB counts while it writes. -#}
{% macro analyze_table(relation) -%}
    {%- if target.type == 'postgres' and config.get('materialized') != 'view' -%}
        analyze {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#- For the config `indexes` of a large table that is read by a few keys. DuckDB's columns need none. -#}
{% macro indexes_on(columns) -%}
    {%- set indexes = [] -%}
    {%- if target.type == 'postgres' -%}
        {%- for column in columns -%}
            {%- do indexes.append({'columns': [column]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(indexes) }}
{%- endmacro %}
