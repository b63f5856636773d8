with source as (

    select * from {{ source('crm_files', 'loyalty_accounts') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        loyalty_number,
        crm_contact_id,
        _batch_id,

        -- text
        tier as loyalty_tier,

        -- numerics
        points_balance,

        -- times
        enrolled_on,
        modified_at,
        _loaded_at

    from source

)

select * from renamed
