with source as (

    select * from {{ source('hubspot', 'contacts') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        contact_id as hubspot_contact_id,
        _batch_id,

        -- text
        email,
        {{ normalised_email('email') }} as normalised_email,
        first_name,
        last_name,
        phone,
        city,
        country_code,
        lifecycle_stage,

        -- booleans
        is_archived,

        -- times
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
