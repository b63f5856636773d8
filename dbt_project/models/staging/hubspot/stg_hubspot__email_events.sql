with source as (

    select * from {{ source('hubspot', 'email_events') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        event_id as email_event_id,
        campaign_id,
        _batch_id,

        -- text
        event_type,
        recipient_email,
        {{ normalised_email('recipient_email') }} as normalised_email,
        url,
        user_agent,

        -- times
        occurred_at,
        _loaded_at

    from source

)

select * from renamed
