{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('stg_shop_db__payments')) }} as payments
    union all
    -- The order to which a changed payment belonged before.
    select order_id from {{ this }}
    where payment_id in (
        select payment_id from {{ changed(ref('stg_shop_db__payments')) }} as payments
    )
    union all
    select order_id from {{ changed(ref('stg_shop_db__orders')) }} as orders
{% endcall %}

with payments as (

    select * from {{ ref('stg_shop_db__payments') }}
    {{ where_affected('order_id') }}

),

orders as (

    select * from {{ ref('stg_shop_db__orders') }}
    {{ where_affected('order_id') }}

)

select
    -- ids
    payments.payment_id,
    payments.order_id,
    orders.customer_id,
    payments.provider_reference,

    -- text
    payments.payment_method,
    payments.payment_status,
    payments.currency,

    -- numerics
    cast(payments.payment_amount as numeric(18, 2)) as payment_amount,

    -- booleans
    payments.payment_status = 'captured' as is_captured,
    coalesce(payments.currency <> orders.currency, false) as is_other_currency,
    orders.order_id is null as is_orphan,

    -- times
    {{ reporting_date('payments.paid_at') }} as payment_date,
    payments.paid_at,
    payments.updated_at

from payments
left join orders on payments.order_id = orders.order_id
