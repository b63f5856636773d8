with campaigns as (

    select * from {{ ref('dim_campaigns') }}

),

email_counts as (

    select
        campaign_id,
        count(*) filter (where event_type = 'SENT') as sent,
        count(*) filter (where event_type = 'DELIVERED') as delivered,
        count(*) filter (where event_type = 'OPEN') as opened,
        count(*) filter (where event_type = 'CLICK') as clicked,
        count(*) filter (where event_type = 'BOUNCE') as bounced,
        count(*) filter (where event_type = 'UNSUBSCRIBE') as unsubscribed,
        count(*) filter (where event_type = 'SPAMREPORT') as spam_reports,
        count(distinct case when event_type = 'SENT' then recipient_email end) as unique_sent,
        count(distinct case when event_type = 'DELIVERED' then recipient_email end)
            as unique_delivered,
        count(distinct case when event_type = 'OPEN' then recipient_email end) as unique_opened,
        count(distinct case when event_type = 'CLICK' then recipient_email end) as unique_clicked,
        count(distinct case when event_type = 'UNSUBSCRIBE' then recipient_email end)
            as unique_unsubscribed
    from {{ ref('fct_email_events') }}
    group by campaign_id

),

session_counts as (

    select
        campaign_id,
        count(*) as attributed_sessions
    from {{ ref('int_campaign_sessions_attributed') }}
    group by campaign_id

),

order_counts as (

    select
        campaign_id,
        count(*) as attributed_orders
    from {{ ref('int_campaign_orders_attributed') }}
    group by campaign_id

),

joined as (

    select
        campaigns.campaign_id,
        campaigns.utm_campaign,
        coalesce(email_counts.sent, 0) as sent,
        coalesce(email_counts.delivered, 0) as delivered,
        coalesce(email_counts.opened, 0) as opened,
        coalesce(email_counts.clicked, 0) as clicked,
        coalesce(email_counts.bounced, 0) as bounced,
        coalesce(email_counts.unsubscribed, 0) as unsubscribed,
        coalesce(email_counts.spam_reports, 0) as spam_reports,
        coalesce(email_counts.unique_sent, 0) as unique_sent,
        coalesce(email_counts.unique_delivered, 0) as unique_delivered,
        coalesce(email_counts.unique_opened, 0) as unique_opened,
        coalesce(email_counts.unique_clicked, 0) as unique_clicked,
        coalesce(email_counts.unique_unsubscribed, 0) as unique_unsubscribed,
        coalesce(session_counts.attributed_sessions, 0) as attributed_sessions,
        coalesce(order_counts.attributed_orders, 0) as attributed_orders,
        campaigns.published_at
    from campaigns
    left join email_counts on campaigns.campaign_id = email_counts.campaign_id
    left join session_counts on campaigns.campaign_id = session_counts.campaign_id
    left join order_counts on campaigns.campaign_id = order_counts.campaign_id

)

select
    -- ids
    campaign_id,

    -- text
    utm_campaign,

    -- numerics
    sent,
    delivered,
    opened,
    clicked,
    bounced,
    unsubscribed,
    spam_reports,
    unique_sent,
    unique_delivered,
    unique_opened,
    unique_clicked,
    unique_unsubscribed,
    {{ exact_quotient('unique_delivered', 'unique_sent') }} as delivery_rate,
    {{ exact_quotient('unique_opened', 'unique_delivered') }} as open_rate,
    {{ exact_quotient('unique_clicked', 'unique_delivered') }} as click_rate,
    {{ exact_quotient('unique_clicked', 'unique_opened') }} as click_to_open_rate,
    {{ exact_quotient('unique_unsubscribed', 'unique_delivered') }} as unsubscribe_rate,
    attributed_sessions,
    attributed_orders,
    {{ exact_quotient('attributed_orders', 'attributed_sessions') }} as conversion_rate,

    -- times
    published_at

from joined
