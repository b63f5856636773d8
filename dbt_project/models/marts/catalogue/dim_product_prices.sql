-- A price that is gone from the catalogue held until then; one that ends when it begins never held.
with prices as (

    select
        price_id,
        product_id,
        currency,
        list_price,
        updated_at,
        valid_from,
        case
            when valid_to is null or deleted_at < valid_to then deleted_at
            else valid_to
        end as valid_to
    from {{ ref('stg_catalogue_db__prices') }}

),

held as (

    select * from prices
    where valid_to is null or valid_to > valid_from

),

-- The price can only change when one begins or ends.
moments as (

    select
        product_id,
        currency,
        valid_from as moment
    from held

    union

    select
        product_id,
        currency,
        valid_to as moment
    from held
    where valid_to is not null

),

-- Of the prices that hold at a moment the one that began last counts; of several that began
-- together, the one that was entered last.
ranked as (

    select
        moments.product_id,
        moments.currency,
        moments.moment,
        held.price_id,
        held.list_price,
        row_number() over (
            partition by moments.product_id, moments.currency, moments.moment
            order by held.valid_from desc, held.updated_at desc, held.price_id desc
        ) as preference
    from moments
    left join held
        on
            moments.product_id = held.product_id
            and moments.currency = held.currency
            and moments.moment >= held.valid_from
            and (held.valid_to is null or moments.moment < held.valid_to)

),

-- Without a price at a moment, the one before it is carried over the gap.
filled as (

    select
        product_id,
        currency,
        moment,
        price_id is null as is_carried_forward,
        coalesce(price_id, lag(price_id) over product_moments) as price_id,
        coalesce(list_price, lag(list_price) over product_moments) as list_price,
        coalesce(price_id = lag(price_id) over product_moments, false) as is_continued
    from ranked
    where preference = 1
    window product_moments as (partition by product_id, currency order by moment)

),

periods as (

    select
        product_id,
        currency,
        price_id,
        list_price,
        is_carried_forward,
        moment as valid_from,
        lead(moment) over (partition by product_id, currency order by moment) as valid_to,
        row_number() over (
            partition by price_id, is_carried_forward
            order by moment
        ) as period_number
    from filled
    where not is_continued

)

select
    -- ids
    cast(price_id as text)
    || case when period_number > 1 then '-' || cast(period_number as text) else '' end
    || case when is_carried_forward then '-carried' else '' end as price_period_id,
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
-- After the last price has ended there is none.
where not (is_carried_forward and valid_to is null)
