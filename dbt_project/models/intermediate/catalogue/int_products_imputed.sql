with products as (

    select * from {{ ref('stg_catalogue_db__products') }}

),

typical_weights as (

    {{ typical_values('products', 'weight_grams', 'median', by='category_id') }}

)

select
    products.product_id,
    {{ imputed('products.weight_grams', 'of_category', 'of_all') }} as weight_grams,
    products.weight_grams is null and coalesce(of_category.typical, of_all.typical) is not null
        as is_weight_grams_imputed

from products
left join typical_weights as of_category on products.category_id = of_category.category_id
left join typical_weights as of_all on of_all.category_id is null
