with source as (

    select * from {{ source('shop_db', 'addresses') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        address_id,
        customer_id,
        _batch_id,

        -- text
        address_type,
        line1,
        line2,
        city,
        state,
        postal_code,
        country_code,

        -- times
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
