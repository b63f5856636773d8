with customers as (

    select * from {{ ref('stg_shop_db__customers') }}

),

sales as (

    select * from {{ ref('int_customer_sales_summed') }}

),

-- The address changed last, shipping addresses first.
ranked_addresses as (

    select
        customer_id,
        country_code,
        row_number() over (
            partition by customer_id
            order by
                case when address_type = 'shipping' then 0 else 1 end,
                updated_at desc,
                address_id desc
        ) as preference
    from {{ ref('stg_shop_db__addresses') }}

),

matches as (

    select * from {{ ref('int_customers_matched_by_email') }}

),

hubspot_contacts as (

    select * from {{ ref('stg_hubspot__contacts') }}

),

engagement as (

    select * from {{ ref('int_email_engagement_summed') }}

),

loyalty as (

    select * from {{ ref('int_loyalty_accounts_current') }}

),

interactions as (

    select
        crm_contact_id,
        count(*) as interactions,
        max(occurred_at) as last_interaction_at
    from {{ ref('stg_crm_files__interactions') }}
    group by crm_contact_id

),

tickets as (

    select
        customer_id,
        count(*) as tickets,
        count(*) filter (where not is_solved) as open_tickets
    from {{ ref('fct_tickets') }}
    where customer_id is not null
    group by customer_id

)

select
    -- ids
    customers.customer_id,
    matches.hubspot_contact_id,
    matches.crm_contact_id,
    loyalty.loyalty_number,

    -- text
    customers.email,
    customers.normalised_email,
    customers.first_name,
    customers.last_name,
    customers.phone,
    coalesce(customers.country_code, ranked_addresses.country_code) as country_code,
    customers.locale,
    sales.main_currency,
    hubspot_contacts.lifecycle_stage,
    loyalty.loyalty_tier,

    -- numerics
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.orders_in_main_currency, 0) as orders_in_main_currency,
    cast(sales.lifetime_gross_amount as numeric(18, 2)) as lifetime_gross_amount,
    cast(sales.lifetime_discount_amount as numeric(18, 2)) as lifetime_discount_amount,
    cast(sales.lifetime_refund_amount as numeric(18, 2)) as lifetime_refund_amount,
    cast(
        sales.lifetime_gross_amount
        - sales.lifetime_discount_amount
        - sales.lifetime_refund_amount
        as numeric(18, 2)
    ) as lifetime_net_amount,
    loyalty.points_balance as loyalty_points,
    coalesce(engagement.emails_delivered, 0) as emails_delivered,
    coalesce(engagement.emails_opened, 0) as emails_opened,
    coalesce(engagement.emails_clicked, 0) as emails_clicked,
    coalesce(interactions.interactions, 0) as crm_interactions,
    coalesce(tickets.tickets, 0) as tickets,
    coalesce(tickets.open_tickets, 0) as open_tickets,

    -- booleans
    coalesce(customers.is_marketing_opt_in, false) as is_marketing_opt_in,
    matches.hubspot_contact_id is not null as is_hubspot_contact,
    coalesce(engagement.has_unsubscribed, false) as has_unsubscribed,
    loyalty.loyalty_number is not null as is_loyalty_member,

    -- times
    customers.birth_date,
    customers.registered_at,
    sales.first_order_at,
    sales.last_order_at,
    engagement.last_engaged_at,
    interactions.last_interaction_at,
    customers.updated_at

from customers
left join sales on customers.customer_id = sales.customer_id
left join ranked_addresses
    on
        customers.customer_id = ranked_addresses.customer_id
        and ranked_addresses.preference = 1
left join matches on customers.customer_id = matches.customer_id
left join hubspot_contacts on matches.hubspot_contact_id = hubspot_contacts.hubspot_contact_id
left join engagement on customers.normalised_email = engagement.normalised_email
left join loyalty on matches.crm_contact_id = loyalty.crm_contact_id
left join interactions on matches.crm_contact_id = interactions.crm_contact_id
left join tickets on customers.customer_id = tickets.customer_id
