with orders as (

    select
        order_id,
        currency
    from {{ ref('stg_shop_db__orders') }}

),

payments as (

    select
        orders.order_id,
        payments.payment_status,
        payments.payment_amount,
        payments.currency = orders.currency as is_same_currency
    from {{ ref('stg_shop_db__payments') }} as payments
    inner join orders on payments.order_id = orders.order_id

)

select
    order_id,
    cast(
        coalesce(
            sum(payment_amount) filter (where payment_status = 'captured' and is_same_currency), 0
        ) as numeric(18, 2)
    ) as paid_amount,
    cast(
        coalesce(
            sum(payment_amount) filter (where payment_status = 'authorized' and is_same_currency), 0
        ) as numeric(18, 2)
    ) as authorized_amount,
    bool_or(payment_status = 'captured' and not is_same_currency) as has_other_currency

from payments
group by order_id
