{{
    config(
        materialized='incremental',
        unique_key='customer_id',
        indexes=indexes_on(['customer_id'])
    )
}}

{% call affected_keys() %}
    select customer_id from {{ changed(ref('fct_orders')) }} as orders
{% endcall %}

-- Amounts of different currencies cannot be added, so each customer has a main currency: the one of
-- most orders.
with orders as (

    select * from {{ ref('fct_orders') }}
    {{ where_affected('customer_id') }}

),

by_currency as (

    select
        customer_id,
        currency,
        count(*) as orders,
        cast(sum(items_amount) as numeric(18, 2)) as gross_amount,
        cast(sum(discount_amount) as numeric(18, 2)) as discount_amount,
        cast(sum(coalesce(refunded_amount, 0)) as numeric(18, 2)) as refund_amount,
        min(placed_at) as first_order_at,
        max(placed_at) as last_order_at
    from orders
    where is_sale
    group by customer_id, currency

),

ranked as (

    select
        *,
        row_number() over (
            partition by customer_id
            order by orders desc, currency collate "C"
        ) as preference
    from by_currency

)

select
    customer_id,
    max(currency) filter (where preference = 1) as main_currency,
    cast(sum(orders) as bigint) as orders,
    cast(max(orders) filter (where preference = 1) as bigint) as orders_in_main_currency,
    max(gross_amount) filter (where preference = 1) as lifetime_gross_amount,
    max(discount_amount) filter (where preference = 1) as lifetime_discount_amount,
    max(refund_amount) filter (where preference = 1) as lifetime_refund_amount,
    min(first_order_at) as first_order_at,
    max(last_order_at) as last_order_at

from ranked
group by customer_id
