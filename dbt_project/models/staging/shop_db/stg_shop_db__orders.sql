with source as (

    select * from {{ source('shop_db', 'orders') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        order_id,
        customer_id,
        billing_address_id,
        shipping_address_id,
        _batch_id,

        -- text
        status as order_status,
        channel,
        currency,
        coupon_code,

        -- numerics
        shipping_amount,
        tax_amount,
        discount_amount,

        -- times
        placed_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
