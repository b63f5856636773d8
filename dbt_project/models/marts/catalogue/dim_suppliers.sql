with suppliers as (

    select * from {{ ref('stg_crm_files__suppliers') }}

),

products as (

    select
        supplier_id,
        count(*) as products
    from {{ ref('dim_products') }}
    where supplier_id is not null
    group by supplier_id

)

select
    -- ids
    suppliers.supplier_id,

    -- text
    suppliers.supplier_name,
    suppliers.contact_email,
    suppliers.phone,
    suppliers.country_code,
    suppliers.brand,

    -- numerics
    suppliers.lead_time_days,
    coalesce(products.products, 0) as products,

    -- times
    suppliers.modified_at

from suppliers
left join products on suppliers.supplier_id = products.supplier_id
