with source as (

    select * from {{ source('shop_db', 'refunds') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        refund_id,
        order_id,
        payment_id,
        _batch_id,

        -- text
        reason as refund_reason,
        currency,

        -- numerics
        amount as refund_amount,

        -- times
        refunded_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
