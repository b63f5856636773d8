with reviews as (

    select * from {{ ref('stg_reviews__reviews') }}
    where review_status = 'published'

)

select
    product_id,
    count(*) as reviews,
    {{ exact_quotient('sum(rating)', 'count(*)', scale=2, precision=4) }} as average_rating

from reviews
group by product_id
