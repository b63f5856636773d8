{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('stg_shop_db__refunds')) }} as refunds
    union all
    -- The order to which a changed refund belonged before.
    select order_id from {{ this }}
    where refund_id in (
        select refund_id from {{ changed(ref('stg_shop_db__refunds')) }} as refunds
    )
    union all
    select order_id from {{ changed(ref('stg_shop_db__orders')) }} as orders
{% endcall %}

with refunds as (

    select * from {{ ref('stg_shop_db__refunds') }}
    {{ where_affected('order_id') }}

),

orders as (

    select
        *,
        {{ counts_as_sale('order_status') }} as is_sale
    from {{ ref('stg_shop_db__orders') }}
    {{ where_affected('order_id') }}

)

select
    -- ids
    refunds.refund_id,
    refunds.order_id,
    refunds.payment_id,
    orders.customer_id,

    -- text
    refunds.refund_reason,
    refunds.currency,

    -- numerics
    cast(refunds.refund_amount as numeric(18, 2)) as refund_amount,

    -- booleans
    coalesce(orders.is_sale, false) as is_sale,
    coalesce(refunds.currency <> orders.currency, false) as is_other_currency,
    orders.order_id is null as is_orphan,

    -- times
    {{ reporting_date('refunds.refunded_at') }} as refund_date,
    refunds.refunded_at,
    refunds.updated_at

from refunds
left join orders on refunds.order_id = orders.order_id
