{{
    config(
        materialized='incremental',
        unique_key='visitor_id',
        indexes=indexes_on(['visitor_id'])
    )
}}

{% call affected_keys() %}
    select visitor_id from {{ changed(ref('int_events_sessionised')) }} as events
{% endcall %}

with events as (

    select * from {{ ref('int_events_sessionised') }}
    {{ where_affected('visitor_id') }}

),

searches as (

    select * from events
    where event_type = 'search'

),

last_steps as (

    select
        session_id,
        max(event_number) filter (where event_type = 'product_view') as last_product_view,
        max(event_number) filter (where event_type = 'add_to_cart') as last_cart_addition,
        max(event_number) filter (where event_type = 'purchase') as last_purchase
    from events
    group by session_id

)

select
    -- ids
    searches.event_id as search_id,
    searches.session_id,
    searches.visitor_id,
    searches.customer_id,

    -- text
    searches.search_query,
    {{ search_term('searches.search_query') }} as search_term,

    -- booleans
    coalesce(last_steps.last_product_view > searches.event_number, false)
        as is_followed_by_product_view,
    coalesce(last_steps.last_cart_addition > searches.event_number, false)
        as is_followed_by_cart_addition,
    coalesce(last_steps.last_purchase > searches.event_number, false) as is_followed_by_purchase,

    -- times
    {{ reporting_date('searches.occurred_at') }} as search_date,
    searches.occurred_at as searched_at

from searches
inner join last_steps on searches.session_id = last_steps.session_id
