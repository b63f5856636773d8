with attributed_sessions as (

    select * from {{ ref('int_campaign_sessions_attributed') }}

),

session_orders as (

    select * from {{ ref('int_session_orders') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where is_sale

)

select
    orders.order_id,
    attributed_sessions.campaign_id,
    orders.currency,
    orders.items_amount as gross_amount,
    orders.discount_amount,
    coalesce(orders.refunded_amount, 0) as refund_amount

from attributed_sessions
inner join session_orders on attributed_sessions.session_id = session_orders.session_id
inner join orders on session_orders.order_id = orders.order_id
