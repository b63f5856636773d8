{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('stg_shop_db__order_items')) }} as items
    union all
    -- The order to which a changed line belonged before.
    select order_id from {{ this }}
    where order_item_id in (
        select order_item_id from {{ changed(ref('stg_shop_db__order_items')) }} as items
    )
    union all
    select order_id from {{ changed(ref('stg_shop_db__orders')) }} as orders
{% endcall %}

with order_items as (

    select * from {{ ref('stg_shop_db__order_items') }}
    {{ where_affected('order_id') }}

),

orders as (

    select
        *,
        {{ counts_as_sale('order_status') }} as is_sale,
        {{ reporting_date('placed_at') }} as sales_date
    from {{ ref('stg_shop_db__orders') }}
    {{ where_affected('order_id') }}

)

select
    -- ids
    order_items.order_item_id,
    order_items.order_id,
    orders.customer_id,
    order_items.product_id,

    -- text
    order_items.sku,
    orders.currency,

    -- numerics
    order_items.line_number,
    order_items.quantity,
    cast(order_items.unit_price as numeric(18, 2)) as unit_price,
    cast(order_items.line_amount as numeric(18, 2)) as line_amount,

    -- booleans
    coalesce(orders.is_sale, false) as is_sale,
    orders.order_id is null as is_orphan,

    -- times
    orders.sales_date,
    orders.placed_at

from order_items
left join orders on order_items.order_id = orders.order_id
