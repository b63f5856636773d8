with source as (

    select * from {{ source('catalogue_db', 'products') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        product_id,
        category_id,
        _batch_id,

        -- text
        sku,
        name as product_name,
        description as product_description,
        brand,
        status as product_status,

        -- numerics
        weight_grams,

        -- times
        launched_on,
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
