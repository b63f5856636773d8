with source as (

    select * from {{ source('shop_db', 'order_items') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        order_item_id,
        order_id,
        product_id,
        _batch_id,

        -- text
        sku,

        -- numerics
        line_number,
        quantity,
        unit_price,
        line_amount,

        -- times
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
