with source as (

    select * from {{ source('crm_files', 'contacts') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        crm_contact_id,
        _batch_id,

        -- text
        salutation,
        first_name,
        last_name,
        email,
        {{ normalised_email('email') }} as normalised_email,
        phone,
        street,
        city,
        postal_code,
        country_code,
        notes as contact_notes,

        -- times
        birth_date,
        created_on,
        modified_at,
        _loaded_at

    from source

)

select * from renamed
