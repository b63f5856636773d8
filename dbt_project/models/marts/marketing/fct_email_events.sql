{{
    config(
        materialized='incremental',
        unique_key='email_event_id',
        indexes=indexes_on(['email_event_id'])
    )
}}

{% call affected_keys() %}
    select event_id as email_event_id
    from {{ changed(ref('stg_hubspot__email_events')) }} as email_events
    union all
    select email_event_id from {{ ref('stg_hubspot__email_events') }}
    where campaign_id in (
        select campaign_id from {{ changed(ref('stg_hubspot__campaigns')) }} as campaigns
    )
{% endcall %}

with email_events as (

    select * from {{ ref('stg_hubspot__email_events') }}
    {{ where_affected('email_event_id') }}

),

campaigns as (

    select campaign_id from {{ ref('stg_hubspot__campaigns') }}

)

select
    -- ids
    email_events.email_event_id,
    email_events.campaign_id,

    -- text
    email_events.event_type,
    email_events.normalised_email as recipient_email,
    email_events.url,

    -- booleans
    campaigns.campaign_id is null as is_orphan,

    -- times
    {{ reporting_date('email_events.occurred_at') }} as event_date,
    email_events.occurred_at

from email_events
left join campaigns on email_events.campaign_id = campaigns.campaign_id
