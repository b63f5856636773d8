-- An address that two rows of one system share says nothing about which of them is meant, so it is
-- matched only where it occurs exactly once in each system.
with shop_customers as (

    select
        normalised_email,
        min(customer_id) as customer_id
    from {{ ref('stg_shop_db__customers') }}
    where normalised_email is not null
    group by normalised_email
    having count(*) = 1

),

hubspot_contacts as (

    select
        normalised_email,
        min(hubspot_contact_id collate "C") as hubspot_contact_id
    from {{ ref('stg_hubspot__contacts') }}
    where normalised_email is not null and not coalesce(is_archived, false)
    group by normalised_email
    having count(*) = 1

),

crm_contacts as (

    select
        normalised_email,
        min(crm_contact_id collate "C") as crm_contact_id
    from {{ ref('stg_crm_files__contacts') }}
    where normalised_email is not null
    group by normalised_email
    having count(*) = 1

)

select
    shop_customers.customer_id,
    hubspot_contacts.hubspot_contact_id,
    crm_contacts.crm_contact_id

from shop_customers
left join hubspot_contacts
    on shop_customers.normalised_email = hubspot_contacts.normalised_email
left join crm_contacts on shop_customers.normalised_email = crm_contacts.normalised_email
