with source as (

    select * from {{ source('shop_db', 'customer_versions') }}

),

renamed as (

    select
        -- ids
        customer_id,
        _batch_id,

        -- text
        email,
        {{ normalised_email('email') }} as normalised_email,
        first_name,
        last_name,
        phone,
        country_code,
        locale,

        -- booleans
        is_marketing_opt_in,

        -- times
        birth_date,
        registered_at,
        updated_at,
        _deleted_at as deleted_at,
        _loaded_at

    from source

)

select * from renamed
