with versions as (

    select * from {{ ref('stg_shop_db__customer_versions') }}

),

sequenced as (

    select
        *,
        lead(updated_at) over (
            partition by customer_id
            order by updated_at
        ) as next_updated_at
    from versions

),

-- A version holds until the next one, or until the customer was found to be gone.
bounded as (

    select
        *,
        case
            when next_updated_at is null or deleted_at < next_updated_at then deleted_at
            else next_updated_at
        end as valid_to
    from sequenced

)

select
    -- ids
    customer_id,

    -- text
    email,
    normalised_email,
    first_name,
    last_name,
    phone,
    country_code,
    locale,

    -- booleans
    coalesce(is_marketing_opt_in, false) as is_marketing_opt_in,
    valid_to is null as is_current,

    -- times
    birth_date,
    registered_at,
    updated_at as valid_from,
    valid_to

from bounded
-- One that ends when it begins never held.
where valid_to is null or valid_to > updated_at
