{{
    config(
        materialized='incremental',
        unique_key='customer_id',
        indexes=indexes_on(['customer_id', 'order_id'])
    )
}}

-- An order tells which number the customer's other orders have, so all of them are built together.
{% call affected_keys() %}
    select customer_id from {{ changed(ref('stg_shop_db__orders')) }} as orders
    union all
    -- The customer to whom a changed order belonged before.
    select customer_id from {{ this }}
    where order_id in (select order_id from {{ changed(ref('stg_shop_db__orders')) }} as orders)
    union all
    select customer_id from {{ ref('stg_shop_db__orders') }}
    where
        order_id in (select order_id from {{ changed(ref('int_order_items_summed')) }} as items)
        or order_id in (
            select order_id from {{ changed(ref('int_order_payments_summed')) }} as payments
        )
        or order_id in (
            select order_id from {{ changed(ref('int_order_refunds_summed')) }} as refunds
        )
    union all
    -- Everybody's, once the first payment came or the last one went (see payment_source).
    select customer_id from {{ this }}
    where
        exists (select 1 from {{ changed(ref('stg_shop_db__payments')) }} as payments)
        and (paid_amount is not null)
        <> exists (select 1 from {{ ref('stg_shop_db__payments') }} as payments)
{% endcall %}

with orders as (

    select
        *,
        {{ counts_as_sale('order_status') }} as is_sale
    from {{ ref('stg_shop_db__orders') }}
    {{ where_affected('customer_id') }}

),

items as (

    select * from {{ ref('int_order_items_summed') }}

),

payments as (

    select * from {{ ref('int_order_payments_summed') }}

),

refunds as (

    select * from {{ ref('int_order_refunds_summed') }}

),

-- A company may bring orders without payments; nothing can then be said of what was settled.
payment_source as (

    select count(*) > 0 as has_payments from {{ ref('stg_shop_db__payments') }}

),

numbered as (

    select
        *,
        case
            when is_sale
                then row_number() over (
                    partition by customer_id, is_sale
                    order by placed_at, order_id
                )
        end as order_number_of_customer
    from orders

),

amounts as (

    select
        numbered.order_id,
        numbered.customer_id,
        numbered.billing_address_id,
        numbered.shipping_address_id,

        numbered.order_status,
        numbered.channel,
        numbered.currency,
        numbered.coupon_code,

        numbered.order_number_of_customer,
        coalesce(items.line_count, 0) as line_count,
        coalesce(items.units, 0) as units,
        coalesce(items.items_amount, 0) as items_amount,
        coalesce(numbered.shipping_amount, 0) as shipping_amount,
        coalesce(numbered.tax_amount, 0) as tax_amount,
        coalesce(numbered.discount_amount, 0) as discount_amount,
        coalesce(items.items_amount, 0)
        + coalesce(numbered.shipping_amount, 0)
        + coalesce(numbered.tax_amount, 0)
        - coalesce(numbered.discount_amount, 0) as due_amount,
        case when payment_source.has_payments then coalesce(payments.paid_amount, 0) end
            as paid_amount,
        case when payment_source.has_payments then coalesce(payments.authorized_amount, 0) end
            as authorized_amount,
        case when payment_source.has_payments then coalesce(refunds.refunded_amount, 0) end
            as refunded_amount,

        numbered.is_sale,
        items.order_id is not null as has_items,
        -- Lines are numbered from 1, so a highest number above the count tells of missing lines.
        coalesce(items.highest_line_number > items.line_count, items.order_id is null)
            as has_missing_items,
        coalesce(payments.has_other_currency, false) or coalesce(refunds.has_other_currency, false)
            as has_other_currency,

        numbered.placed_at,
        numbered.updated_at
    from numbered
    cross join payment_source
    left join items on numbered.order_id = items.order_id
    left join payments on numbered.order_id = payments.order_id
    left join refunds on numbered.order_id = refunds.order_id

),

settled as (

    select
        *,
        paid_amount - refunded_amount as settled_amount,
        paid_amount - refunded_amount - due_amount as residual_amount
    from amounts

)

select
    -- ids
    order_id,
    customer_id,
    billing_address_id,
    shipping_address_id,

    -- text
    order_status,
    channel,
    currency,
    coupon_code,
    -- The first reason that holds explains the residual; the more telling ones come first.
    case
        when settled_amount is null then 'unknown'
        when order_status = 'cancelled' and settled_amount = 0 then 'cancelled'
        when order_status = 'cancelled' and settled_amount > 0 then 'refund_due'
        when residual_amount = 0 then 'settled'
        when has_other_currency then 'other_currency'
        when has_missing_items then 'items_missing'
        when refunded_amount > paid_amount then 'refund_exceeds_payment'
        when refunded_amount > 0 and refunded_amount = paid_amount then 'refunded'
        when paid_amount = 0 then 'unpaid'
        when residual_amount > 0 then 'overpaid'
        when refunded_amount > 0 and paid_amount >= due_amount then 'partially_refunded'
        else 'underpaid'
    end as settlement_status,

    -- numerics
    order_number_of_customer,
    line_count,
    units,
    cast(items_amount as numeric(18, 2)) as items_amount,
    cast(shipping_amount as numeric(18, 2)) as shipping_amount,
    cast(tax_amount as numeric(18, 2)) as tax_amount,
    cast(discount_amount as numeric(18, 2)) as discount_amount,
    cast(due_amount as numeric(18, 2)) as due_amount,
    cast(paid_amount as numeric(18, 2)) as paid_amount,
    cast(authorized_amount as numeric(18, 2)) as authorized_amount,
    cast(refunded_amount as numeric(18, 2)) as refunded_amount,
    cast(settled_amount as numeric(18, 2)) as settled_amount,
    cast(residual_amount as numeric(18, 2)) as residual_amount,

    -- booleans
    is_sale,
    coalesce(order_number_of_customer = 1, false) as is_first_order,
    has_items,
    has_missing_items,

    -- times
    {{ reporting_date('placed_at') }} as sales_date,
    placed_at,
    updated_at

from settled
