-- A price that ends when it begins never held.
with prices as (

    select * from {{ ref('stg_catalogue_db__prices') }}
    where valid_to is null or valid_to > valid_from

),

-- Of several prices that begin together, the one that was entered last holds.
ranked as (

    select
        *,
        row_number() over (
            partition by product_id, currency, valid_from
            order by updated_at desc, price_id desc
        ) as newness
    from prices

),

sequenced as (

    select
        *,
        lead(valid_from) over (
            partition by product_id, currency
            order by valid_from
        ) as next_valid_from
    from ranked
    where newness = 1

),

-- A price ends at the latest when the next one begins.
bounded as (

    select
        *,
        case
            when next_valid_from is null then valid_to
            when valid_to is null or valid_to > next_valid_from then next_valid_from
            else valid_to
        end as ended_at
    from sequenced

),

periods as (

    select
        price_id,
        product_id,
        currency,
        list_price,
        valid_from,
        ended_at as valid_to,
        false as is_carried_forward
    from bounded

    union all

    -- The gap up to the next price, often left by a price in quarantine, takes the price before it.
    select
        price_id,
        product_id,
        currency,
        list_price,
        ended_at as valid_from,
        next_valid_from as valid_to,
        true as is_carried_forward
    from bounded
    where ended_at < next_valid_from

)

select
    -- ids
    cast(price_id as text) || case when is_carried_forward then '-carried' else '' end
        as price_period_id,
    price_id,
    product_id,

    -- text
    currency,

    -- numerics
    cast(list_price as numeric(18, 2)) as list_price,

    -- booleans
    valid_to is null as is_current,
    is_carried_forward,

    -- times
    valid_from,
    valid_to

from periods
