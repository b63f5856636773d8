with order_items as (

    select * from {{ ref('stg_shop_db__order_items') }}

)

select
    order_id,
    count(*) as line_count,
    cast(sum(quantity) as bigint) as units,
    max(line_number) as highest_line_number,
    cast(sum(line_amount) as numeric(18, 2)) as items_amount

from order_items
group by order_id
