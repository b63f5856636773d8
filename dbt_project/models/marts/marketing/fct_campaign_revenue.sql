with orders as (

    select * from {{ ref('int_campaign_orders_attributed') }}

)

select
    campaign_id,
    currency,
    count(*) as orders,
    cast(sum(gross_amount) as numeric(18, 2)) as gross_amount,
    cast(sum(discount_amount) as numeric(18, 2)) as discount_amount,
    cast(sum(refund_amount) as numeric(18, 2)) as refund_amount,
    cast(sum(gross_amount) - sum(discount_amount) - sum(refund_amount) as numeric(18, 2))
        as net_amount

from orders
group by campaign_id, currency
