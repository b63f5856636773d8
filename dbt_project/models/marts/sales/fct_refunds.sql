with refunds as (

    select * from {{ ref('stg_shop_db__refunds') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

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
