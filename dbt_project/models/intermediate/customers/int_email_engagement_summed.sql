with email_events as (

    select * from {{ ref('fct_email_events') }}

)

select
    recipient_email as normalised_email,
    count(*) filter (where event_type = 'DELIVERED') as emails_delivered,
    count(*) filter (where event_type = 'OPEN') as emails_opened,
    count(*) filter (where event_type = 'CLICK') as emails_clicked,
    bool_or(event_type in ('UNSUBSCRIBE', 'SPAMREPORT')) as has_unsubscribed,
    max(occurred_at) filter (where event_type in ('OPEN', 'CLICK')) as last_engaged_at

from email_events
where recipient_email is not null
group by recipient_email
