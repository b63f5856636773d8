{% set longest_fill_days = 366 %}

with counts as (

    select * from {{ ref('int_inventory_counted') }}

),

calendar as (

    select max(counted_on) as last_day from counts

),

sequenced as (

    select
        *,
        lead(counted_on) over (
            partition by product_id, warehouse_code
            order by counted_on
        ) as next_counted_on,
        lag(units_on_hand) over (
            partition by product_id, warehouse_code
            order by counted_on
        ) as previous_units_on_hand
    from counts

),

-- A count holds until the day before the next one, and for at most a year.
held as (

    select
        sequenced.*,
        least(
            coalesce(sequenced.next_counted_on - 1, calendar.last_day),
            sequenced.counted_on + {{ longest_fill_days }}
        ) as held_until
    from sequenced
    cross join calendar

),

days as (

    select
        *,
        {{ each_day('counted_on', 'held_until') }} as inventory_date
    from held

)

select
    -- ids
    inventory_date,
    product_id,
    warehouse_code,

    -- numerics
    units_on_hand,
    case when inventory_date = counted_on then units_sold else 0 end as units_sold,
    case when inventory_date = counted_on then units_received else 0 end as units_received,
    cast(inventory_date - counted_on as bigint) as days_since_count,

    -- booleans
    inventory_date = counted_on as is_counted,
    units_on_hand > 0 as is_in_stock,
    units_on_hand = 0
    and inventory_date = counted_on
    and coalesce(previous_units_on_hand > 0, true) as is_stock_out_start

from days
