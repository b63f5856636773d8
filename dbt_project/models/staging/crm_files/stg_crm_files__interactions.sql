with source as (

    select * from {{ source('crm_files', 'interactions') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        interaction_id,
        crm_contact_id,
        _batch_id,

        -- text
        channel,
        direction,
        subject,
        notes as interaction_notes,

        -- times
        occurred_at,
        _loaded_at

    from source

)

select * from renamed
