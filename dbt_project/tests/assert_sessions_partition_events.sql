with sessions as (

    select
        coalesce(sum(events), 0) as events,
        coalesce(sum(case when ended_at < started_at then 1 else 0 end), 0) as backward_sessions
    from {{ ref('fct_sessions') }}

),

events as (

    select count(*) as events from {{ ref('stg_web_logs__events') }}

)

select
    sessions.events as events_in_sessions,
    events.events

from sessions
cross join events
where
    sessions.events <> events.events
    or sessions.backward_sessions > 0
