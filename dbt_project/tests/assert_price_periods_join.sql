with periods as (

    select
        price_period_id,
        valid_from,
        valid_to,
        lead(valid_from) over (
            partition by product_id, currency
            order by valid_from
        ) as next_valid_from
    from {{ ref('dim_product_prices') }}

)

select price_period_id

from periods
where
    valid_to <= valid_from
    or (next_valid_from is not null and (valid_to is null or valid_to <> next_valid_from))
