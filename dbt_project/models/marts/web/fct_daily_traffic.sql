{{
    config(
        materialized='incremental',
        unique_key='traffic_date'
    )
}}

-- A line of the log is known by its content, so it never moves to another day.
{% call affected_keys() %}
    select {{ reporting_date('requested_at') }} as traffic_date
    from {{ changed(ref('stg_web_logs__access_log')) }} as requests
{% endcall %}

with requests as (

    select
        *,
        {{ reporting_date('requested_at') }} as traffic_date,
        {{ ascii_lower("coalesce(user_agent, '')") }} as lower_user_agent
    from {{ ref('stg_web_logs__access_log') }}
    {{ where_affected(reporting_date('requested_at')) }}

),

flagged as (

    select
        *,
        lower_user_agent like '%bot%'
        or lower_user_agent like '%crawl%'
        or lower_user_agent like '%spider%' as is_bot
    from requests

),

summed as (

    select
        traffic_date,
        count(*) as requests,
        count(*) filter (where is_bot) as bot_requests,
        count(distinct remote_host) as distinct_hosts,
        count(*) filter (where status_code between 200 and 299) as successful_requests,
        count(*) filter (where status_code between 300 and 399) as redirected_requests,
        count(*) filter (where status_code between 400 and 499) as client_errors,
        count(*) filter (where status_code >= 500) as server_errors,
        cast(coalesce(sum(response_bytes), 0) as bigint) as response_bytes
    from flagged
    group by traffic_date

)

select
    traffic_date,
    requests,
    bot_requests,
    distinct_hosts,
    successful_requests,
    redirected_requests,
    client_errors,
    server_errors,
    {{ exact_quotient('server_errors', 'requests') }} as server_error_rate,
    response_bytes

from summed
