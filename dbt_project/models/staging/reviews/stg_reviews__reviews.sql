with source as (

    select * from {{ source('reviews', 'reviews') }}
    where _deleted_at is null

),

renamed as (

    select
        -- ids
        review_id,
        product_id,
        customer_id,
        _batch_id,

        -- text
        sku,
        reviewer_name,
        reviewer_email,
        {{ normalised_email('reviewer_email') }} as normalised_email,
        title as review_title,
        body as review_body,
        language,
        status as review_status,

        -- numerics
        rating,

        -- booleans
        is_verified_purchase,

        -- times
        created_at,
        updated_at,
        _loaded_at

    from source

)

select * from renamed
