with reviews as (

    select * from {{ ref('stg_reviews__reviews') }}

),

products as (

    select product_id from {{ ref('stg_catalogue_db__products') }}

)

select
    -- ids
    reviews.review_id,
    reviews.product_id,
    reviews.customer_id,

    -- text
    reviews.review_title,
    reviews.review_body,
    reviews.language,
    reviews.review_status,

    -- numerics
    reviews.rating,

    -- booleans
    reviews.review_status = 'published' as is_published,
    coalesce(reviews.is_verified_purchase, false) as is_verified_purchase,
    products.product_id is null as is_orphan,

    -- times
    {{ reporting_date('reviews.created_at') }} as review_date,
    reviews.created_at,
    reviews.updated_at

from reviews
left join products on reviews.product_id = products.product_id
