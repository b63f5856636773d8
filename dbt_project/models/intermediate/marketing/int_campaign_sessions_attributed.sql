with sessions as (

    select * from {{ ref('fct_sessions') }}
    where utm_campaign is not null

),

campaigns as (

    select
        campaign_id,
        utm_campaign,
        coalesce(published_at, created_at) as sent_at
    from {{ ref('dim_campaigns') }}
    where utm_campaign is not null

),

-- Where several campaigns carry the same name, the one sent last before the visit brought it.
ranked as (

    select
        sessions.session_id,
        campaigns.campaign_id,
        row_number() over (
            partition by sessions.session_id
            order by campaigns.sent_at desc, campaigns.campaign_id collate "C"
        ) as preference
    from sessions
    inner join campaigns
        on
            sessions.utm_campaign = campaigns.utm_campaign
            and sessions.started_at >= campaigns.sent_at

)

select
    session_id,
    campaign_id

from ranked
where preference = 1
