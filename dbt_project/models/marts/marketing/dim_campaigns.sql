with campaigns as (

    select * from {{ ref('stg_hubspot__campaigns') }}

)

select
    -- ids
    campaign_id,

    -- text
    campaign_name,
    subject_line,
    nullif(utm_campaign, '') as utm_campaign,
    campaign_status,

    -- times
    published_at,
    created_at,
    updated_at

from campaigns
