{{
    config(
        materialized='incremental',
        unique_key='visitor_id',
        indexes=indexes_on(['visitor_id'])
    )
}}

{% call affected_keys() %}
    select visitor_id from {{ changed(ref('int_events_sessionised')) }} as events
    union all
    -- Whoever reports an order may have gained it from another visitor, or lost it to one.
    select visitor_id from {{ ref('int_events_sessionised') }}
    where order_id in (select order_id from {{ changed(ref('int_session_orders')) }} as orders)
{% endcall %}

with events as (

    select * from {{ ref('int_events_sessionised') }}
    {{ where_affected('visitor_id') }}

),

session_orders as (

    select
        session_id,
        count(*) as orders,
        min(order_id) as order_id
    from {{ ref('int_session_orders') }}
    {{ where_affected('visitor_id') }}
    group by session_id

),

summed as (

    select
        session_id,
        visitor_id,
        -- Two customers in one session: nobody can say whose it was.
        case when min(customer_id) = max(customer_id) then min(customer_id) end as customer_id,
        {{ first_by('url', 'event_number') }} as entry_url,
        {{ first_by('referrer', 'event_number') }} as referrer,
        {{ first_by('utm_source', 'event_number') }} as utm_source,
        {{ first_by('utm_medium', 'event_number') }} as utm_medium,
        {{ first_by('utm_campaign', 'event_number') }} as utm_campaign,
        count(*) as events,
        count(*) filter (where event_type = 'page_view') as page_views,
        count(*) filter (where event_type = 'product_view') as product_views,
        count(*) filter (where event_type = 'search') as searches,
        count(*) filter (where event_type = 'add_to_cart') as cart_additions,
        count(*) filter (where event_type = 'remove_from_cart') as cart_removals,
        count(*) filter (where event_type = 'checkout_started') as checkouts,
        count(*) filter (where event_type = 'purchase') as purchases,
        count(*) filter (where event_type = 'purchase' and order_id is null) as unnamed_purchases,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at
    from events
    group by session_id, visitor_id

)

select
    -- ids
    summed.session_id,
    summed.visitor_id,
    summed.customer_id,
    session_orders.order_id,

    -- text
    {{ path_of_url('summed.entry_url') }} as entry_path,
    summed.referrer,
    summed.utm_source,
    summed.utm_medium,
    summed.utm_campaign,

    -- numerics
    summed.events,
    summed.page_views,
    summed.product_views,
    summed.searches,
    summed.cart_additions,
    summed.cart_removals,
    summed.checkouts,
    summed.purchases,
    coalesce(session_orders.orders, 0) as orders,
    {{ seconds_between('summed.started_at', 'summed.ended_at') }} as duration_seconds,

    -- booleans
    -- A confirmation page opened again in a later session is no second purchase.
    coalesce(session_orders.orders, 0) + summed.unnamed_purchases > 0 as is_converted,
    summed.events = 1 as is_bounce,

    -- times
    {{ reporting_date('summed.started_at') }} as session_date,
    summed.started_at,
    summed.ended_at

from summed
left join session_orders on summed.session_id = session_orders.session_id
