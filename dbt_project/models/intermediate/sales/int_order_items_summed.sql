{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('fct_order_items')) }} as order_items
{% endcall %}

with order_items as (

    select * from {{ ref('fct_order_items') }}
    {{ where_affected('order_id') }}

)

select
    order_id,
    count(*) as line_count,
    cast(sum(quantity) as bigint) as units,
    max(line_number) as highest_line_number,
    cast(sum(line_amount) as numeric(18, 2)) as items_amount

from order_items
group by order_id
