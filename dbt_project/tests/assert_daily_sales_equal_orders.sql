with reported as (

    select
        currency,
        sum(orders) as orders,
        sum(units) as units,
        sum(gross_amount) as gross_amount,
        sum(refund_amount) as refund_amount,
        sum(net_amount) as net_amount
    from {{ ref('fct_daily_sales') }}
    group by currency

),

-- Units and amounts from the lines themselves, so that both ways to the total are compared.
sold as (

    select
        currency,
        sum(quantity) as units,
        sum(line_amount) as gross_amount
    from {{ ref('fct_order_items') }}
    where is_sale
    group by currency

),

ordered as (

    select
        currency,
        count(*) as orders,
        sum(discount_amount) as discount_amount
    from {{ ref('fct_orders') }}
    where is_sale
    group by currency

),

refunded as (

    select
        currency,
        sum(refund_amount) as refund_amount
    from {{ ref('fct_refunds') }}
    where is_sale
    group by currency

)

select reported.currency

from reported
left join sold on reported.currency = sold.currency
left join ordered on reported.currency = ordered.currency
left join refunded on reported.currency = refunded.currency
where
    reported.orders <> coalesce(ordered.orders, 0)
    or reported.units <> coalesce(sold.units, 0)
    or reported.gross_amount <> coalesce(sold.gross_amount, 0)
    or reported.refund_amount <> coalesce(refunded.refund_amount, 0)
    or reported.net_amount
    <> coalesce(sold.gross_amount, 0)
    - coalesce(ordered.discount_amount, 0)
    - coalesce(refunded.refund_amount, 0)
