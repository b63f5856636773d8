with source as (

    select * from {{ source('web_logs', 'events') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        event_id,
        visitor_id,
        customer_id,
        product_id,
        order_id,
        _batch_id,

        -- text
        event_type,
        url,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        search_query,
        user_agent,
        ip_address,

        -- numerics
        quantity,

        -- times
        occurred_at,
        received_at,
        _loaded_at

    from source

)

select * from renamed
