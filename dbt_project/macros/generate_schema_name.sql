{#- A model's schema is exactly the one that is configured: the build_* schemas are what publication
    reads, so no prefix of the target may be put before them. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
