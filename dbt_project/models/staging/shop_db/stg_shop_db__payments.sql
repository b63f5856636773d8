with source as (

    select * from {{ source('shop_db', 'payments') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        payment_id,
        order_id,
        provider_reference,
        _batch_id,

        -- text
        method as payment_method,
        status as payment_status,
        currency,

        -- numerics
        amount as payment_amount,

        -- times
        paid_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
