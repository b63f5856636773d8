with products as (

    select * from {{ ref('stg_catalogue_db__products') }}

),

imputed as (

    select * from {{ ref('int_products_imputed') }}

),

categories as (

    select * from {{ ref('int_categories_flattened') }}

),

category_names as (

    select
        category_id,
        category_name
    from {{ ref('stg_catalogue_db__categories') }}

),

-- A brand tells its supplier only where exactly one company supplies it.
suppliers as (

    select
        {{ ascii_lower('trim(brand)') }} as brand_key,
        min(supplier_id collate "C") as supplier_id
    from {{ ref('stg_crm_files__suppliers') }}
    where brand is not null
    group by {{ ascii_lower('trim(brand)') }}
    having count(*) = 1

),

ratings as (

    select * from {{ ref('int_product_ratings_summed') }}

),

sales as (

    select
        product_id,
        count(distinct order_id) as orders,
        cast(sum(quantity) as bigint) as units_sold,
        max(placed_at) as last_sold_at
    from {{ ref('fct_order_items') }}
    where is_sale
    group by product_id

),

last_counts as (

    select
        *,
        row_number() over (
            partition by product_id, warehouse_code
            order by counted_on desc
        ) as newness
    from {{ ref('int_inventory_counted') }}

),

stock as (

    select
        product_id,
        cast(sum(units_on_hand) as bigint) as units_on_hand
    from last_counts
    where newness = 1
    group by product_id

)

select
    -- ids
    products.product_id,
    products.category_id,
    suppliers.supplier_id,

    -- text
    products.sku,
    products.product_name,
    products.product_description,
    products.brand,
    products.product_status,
    category_names.category_name,
    coalesce(categories.top_category_name, category_names.category_name) as top_category_name,
    coalesce(categories.category_path, category_names.category_name) as category_path,

    -- numerics
    imputed.weight_grams,
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.units_sold, 0) as units_sold,
    stock.units_on_hand,
    coalesce(ratings.reviews, 0) as reviews,
    ratings.average_rating,

    -- booleans
    products.product_status = 'active' as is_active,
    stock.units_on_hand > 0 as is_in_stock,
    imputed.is_weight_grams_imputed,

    -- times
    products.launched_on,
    sales.last_sold_at,
    products.created_at,
    products.updated_at

from products
left join imputed on products.product_id = imputed.product_id
left join category_names on products.category_id = category_names.category_id
left join categories on products.category_id = categories.category_id
left join suppliers on {{ ascii_lower('trim(products.brand)') }} = suppliers.brand_key
left join ratings on products.product_id = ratings.product_id
left join sales on products.product_id = sales.product_id
left join stock on products.product_id = stock.product_id
