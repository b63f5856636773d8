with recursive categories as (

    select * from {{ ref('stg_catalogue_db__categories') }}

),

-- Walked from the top downwards: a category whose parents form a circle is never reached, so a
-- wrong parent cannot make the walk endless. One whose parent is not known counts as a top one.
tree as (

    select
        categories.category_id,
        categories.category_name,
        categories.category_name as top_category_name,
        categories.category_name as category_path,
        cast(1 as bigint) as category_depth
    from categories
    left join categories as parents on categories.parent_category_id = parents.category_id
    where parents.category_id is null

    union all

    select
        categories.category_id,
        categories.category_name,
        tree.top_category_name,
        tree.category_path || ' > ' || categories.category_name as category_path,
        tree.category_depth + 1 as category_depth
    from categories
    inner join tree on categories.parent_category_id = tree.category_id

)

select
    category_id,
    category_name,
    top_category_name,
    category_path,
    category_depth

from tree
