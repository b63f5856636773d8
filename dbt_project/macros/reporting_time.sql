{#- The time zone in which the company counts its days. -#}
{% macro reporting_time_zone() -%}
    {{ var('reporting_time_zone', env_var('SHOPSPHERE_REPORTING_TIME_ZONE', 'UTC')) }}
{%- endmacro %}

{#- The company's calendar day on which a moment lies. -#}
{% macro reporting_date(moment) -%}
    cast({{ moment }} at time zone '{{ reporting_time_zone() }}' as date)
{%- endmacro %}
