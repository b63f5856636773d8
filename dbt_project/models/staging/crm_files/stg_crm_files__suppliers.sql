with source as (

    select * from {{ source('crm_files', 'suppliers') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        supplier_id,
        _batch_id,

        -- text
        name as supplier_name,
        contact_email,
        phone,
        country_code,
        brand,

        -- numerics
        lead_time_days,

        -- times
        modified_at,
        _loaded_at

    from source

)

select * from renamed
