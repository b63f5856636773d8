with orders as (

    select * from {{ ref('fct_orders') }}
    where is_sale

),

-- A refund of an order that never counted as a sale must not lower the sales.
refunds as (

    select * from {{ ref('fct_refunds') }}
    where is_sale

),

movements as (

    select
        sales_date,
        currency,
        1 as orders,
        units,
        items_amount as gross_amount,
        discount_amount,
        0 as refund_amount
    from orders

    union all

    select
        refund_date as sales_date,
        currency,
        0 as orders,
        0 as units,
        0 as gross_amount,
        0 as discount_amount,
        refund_amount
    from refunds

)

select
    sales_date,
    currency,
    cast(sum(orders) as bigint) as orders,
    cast(sum(units) as bigint) as units,
    cast(sum(gross_amount) as numeric(18, 2)) as gross_amount,
    cast(sum(discount_amount) as numeric(18, 2)) as discount_amount,
    cast(sum(refund_amount) as numeric(18, 2)) as refund_amount,
    cast(sum(gross_amount) - sum(discount_amount) - sum(refund_amount) as numeric(18, 2))
        as net_amount

from movements
group by sales_date, currency
