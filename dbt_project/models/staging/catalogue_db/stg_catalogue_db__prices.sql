-- Prices that are gone from the source stay, since they held until then.
with source as (

    select * from {{ source('catalogue_db', 'prices') }}

),

renamed as (

    select
        -- ids
        price_id,
        product_id,
        _batch_id,

        -- text
        currency,

        -- numerics
        amount as list_price,

        -- times
        valid_from,
        valid_to,
        updated_at,
        _deleted_at as deleted_at,
        _loaded_at

    from source

)

select * from renamed
