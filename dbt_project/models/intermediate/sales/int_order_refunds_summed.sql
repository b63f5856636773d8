with orders as (

    select
        order_id,
        currency
    from {{ ref('stg_shop_db__orders') }}

),

refunds as (

    select
        orders.order_id,
        refunds.refund_amount,
        refunds.currency = orders.currency as is_same_currency
    from {{ ref('stg_shop_db__refunds') }} as refunds
    inner join orders on refunds.order_id = orders.order_id

)

select
    order_id,
    cast(
        coalesce(sum(refund_amount) filter (where is_same_currency), 0) as numeric(18, 2)
    ) as refunded_amount,
    bool_or(not is_same_currency) as has_other_currency

from refunds
group by order_id
