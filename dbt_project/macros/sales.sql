{#- Whether an order counts as a sale: unless it is pending or cancelled. -#}
{% macro counts_as_sale(order_status) -%}
    {{ order_status }} not in ('pending', 'cancelled')
{%- endmacro %}
