with source as (

    select * from {{ source('catalogue_db', 'categories') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        category_id,
        parent_category_id,
        _batch_id,

        -- text
        name as category_name,
        slug as category_slug,

        -- times
        updated_at,
        _loaded_at

    from source

)

select * from renamed
