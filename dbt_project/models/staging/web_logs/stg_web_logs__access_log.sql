with source as (

    select * from {{ source('web_logs', 'access_log') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        log_line_id,
        _batch_id,

        -- text
        remote_host,
        remote_user,
        method as http_method,
        path,
        protocol,
        referrer,
        user_agent,

        -- numerics
        status_code,
        response_bytes,

        -- times
        requested_at,
        _loaded_at

    from source

)

select * from renamed
