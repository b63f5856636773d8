with source as (

    select * from {{ source('hubspot', 'campaigns') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        campaign_id,
        _batch_id,

        -- text
        name as campaign_name,
        subject as subject_line,
        utm_campaign,
        status as campaign_status,

        -- times
        published_at,
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
