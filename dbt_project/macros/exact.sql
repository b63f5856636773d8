{#- The quotient of two whole numbers as an exact decimal, rounded half away from zero to `scale`
    places; null where the divisor, which may not be negative, is zero. Decimal division is a float on DuckDB, so it is done on
    whole numbers. `precision` is the number of digits of the result. -#}
{% macro exact_quotient(dividend, divisor, scale=4, precision=9) -%}
    {%- set factor = 10 ** scale -%}
    {%- set whole_dividend = 'cast(' ~ dividend ~ ' as bigint)' -%}
    {%- set whole_divisor = 'cast(' ~ divisor ~ ' as bigint)' -%}
    {#- sign() gives a float on PostgreSQL, where the division must stay one of whole numbers. -#}
    {%- set half = 'cast(sign(' ~ whole_dividend ~ ') as bigint) * ' ~ whole_divisor -%}
    cast(
        {{ integer_quotient(
            (2 * factor) ~ ' * ' ~ whole_dividend ~ ' + ' ~ half,
            '2 * nullif(' ~ whole_divisor ~ ', 0)'
        ) }} * cast({{ '%.*f' | format(scale, 1 / factor) }} as numeric({{ scale + 1 }}, {{ scale }}))
        as numeric({{ precision }}, {{ scale }})
    )
{%- endmacro %}
