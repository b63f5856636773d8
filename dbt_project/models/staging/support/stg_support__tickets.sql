with source as (

    select * from {{ source('support', 'tickets') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        ticket_id,
        customer_id,
        order_id,
        _batch_id,

        -- text
        requester_email,
        {{ normalised_email('requester_email') }} as normalised_email,
        requester_name,
        channel,
        subject,
        body as ticket_body,
        status as ticket_status,
        priority,

        -- numerics
        satisfaction_rating,

        -- times
        created_at,
        solved_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
