-- One pass over the addresses of all three systems; joins of counted addresses would leave
-- PostgreSQL without an idea of their size.
with addresses as (

    select
        normalised_email,
        customer_id,
        cast(null as text) as hubspot_contact_id,
        cast(null as text) as crm_contact_id
    from {{ ref('stg_shop_db__customers') }}

    union all

    select
        normalised_email,
        cast(null as bigint) as customer_id,
        hubspot_contact_id,
        cast(null as text) as crm_contact_id
    from {{ ref('stg_hubspot__contacts') }}
    where not coalesce(is_archived, false)

    union all

    select
        normalised_email,
        cast(null as bigint) as customer_id,
        cast(null as text) as hubspot_contact_id,
        crm_contact_id
    from {{ ref('stg_crm_files__contacts') }}

)

-- An address that two rows of one system share says nothing about which of them is meant, so it is
-- matched only where it occurs exactly once in each system.
select
    min(customer_id) as customer_id,
    case when count(hubspot_contact_id) = 1 then min(hubspot_contact_id collate "C") end
        as hubspot_contact_id,
    case when count(crm_contact_id) = 1 then min(crm_contact_id collate "C") end
        as crm_contact_id

from addresses
where normalised_email is not null
group by normalised_email
having count(customer_id) = 1
