with ranked as (

    select
        *,
        row_number() over (
            partition by crm_contact_id
            order by modified_at desc, loyalty_number collate "C" desc
        ) as newness
    from {{ ref('stg_crm_files__loyalty_accounts') }}

)

select
    crm_contact_id,
    loyalty_number,
    loyalty_tier,
    points_balance,
    enrolled_on

from ranked
where newness = 1
