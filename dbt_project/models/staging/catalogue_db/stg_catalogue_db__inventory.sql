with source as (

    select * from {{ source('catalogue_db', 'inventory') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        inventory_id,
        product_id,
        _batch_id,

        -- text
        warehouse_code,

        -- numerics
        quantity_on_hand as units_on_hand,
        quantity_sold as units_sold,
        quantity_received as units_received,

        -- times
        counted_on,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
