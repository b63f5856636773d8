with inventory as (

    select * from {{ ref('stg_catalogue_db__inventory') }}
    -- A day is not counted before it comes; such a date would stretch the calendar of all products.
    where counted_on <= cast(updated_at at time zone 'UTC' as date) + 1

),

ranked as (

    select
        *,
        row_number() over (
            partition by product_id, warehouse_code, counted_on
            order by updated_at desc, inventory_id desc
        ) as newness
    from inventory

)

select
    product_id,
    warehouse_code,
    counted_on,
    units_on_hand,
    coalesce(units_sold, 0) as units_sold,
    coalesce(units_received, 0) as units_received

from ranked
where newness = 1
