{{
    config(
        materialized='incremental',
        unique_key='visitor_id',
        indexes=indexes_on(['visitor_id', 'order_id'])
    )
}}

-- A late event may join two sessions or part one, so all events of its visitor are looked at anew.
{% call affected_keys() %}
    select visitor_id from {{ changed(ref('stg_web_logs__events')) }} as events
    union all
    -- The visitor to whom a changed event belonged before.
    select visitor_id from {{ this }}
    where event_id in (select event_id from {{ changed(ref('stg_web_logs__events')) }} as events)
{% endcall %}

with events as (

    select
        *,
        lag(occurred_at) over (
            partition by visitor_id
            order by occurred_at, event_id collate "C"
        ) as previous_occurred_at
    from {{ ref('stg_web_logs__events') }}
    {{ where_affected('visitor_id') }}

),

-- More than 30 minutes without an event end a session; exactly 30 do not.
counted as (

    select
        *,
        count(*) filter (
            where
            previous_occurred_at is null
            or occurred_at - previous_occurred_at > interval '30 minutes'
        ) over (
            partition by visitor_id
            order by occurred_at, event_id collate "C"
            rows between unbounded preceding and current row
        ) as session_number
    from events

)

select
    -- ids
    event_id,
    -- A session takes the id of its first event, which later arrivals rarely change.
    first_value(event_id) over session_events as session_id,
    visitor_id,
    customer_id,
    product_id,
    order_id,

    -- text
    event_type,
    url,
    nullif(referrer, '') as referrer,
    nullif(utm_source, '') as utm_source,
    nullif(utm_medium, '') as utm_medium,
    nullif(utm_campaign, '') as utm_campaign,
    search_query,

    -- numerics
    row_number() over session_events as event_number,

    -- times
    occurred_at

from counted
window session_events as (
    partition by visitor_id, session_number
    order by occurred_at, event_id collate "C"
)
