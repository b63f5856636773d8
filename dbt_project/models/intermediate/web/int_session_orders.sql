{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id', 'visitor_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ ref('int_events_sessionised') }}
    where visitor_id in (
        select visitor_id from {{ changed(ref('int_events_sessionised')) }} as events
    )
    union all
    -- What these visitors reported before.
    select order_id from {{ this }}
    where visitor_id in (
        select visitor_id from {{ changed(ref('int_events_sessionised')) }} as events
    )
{% endcall %}

with events as (

    select * from {{ ref('int_events_sessionised') }}
    {{ where_affected('order_id') }}

),

purchases as (

    select
        session_id,
        visitor_id,
        order_id,
        row_number() over (
            partition by order_id
            order by occurred_at, event_id collate "C"
        ) as report_number
    from events
    where
        event_type = 'purchase'
        and order_id is not null

)

-- A confirmation page that is opened again reports its order again; the first report counts.
select
    order_id,
    session_id,
    visitor_id

from purchases
where report_number = 1
