with purchases as (

    select
        session_id,
        order_id,
        row_number() over (
            partition by order_id
            order by occurred_at, event_id collate "C"
        ) as report_number
    from {{ ref('int_events_sessionised') }}
    where
        event_type = 'purchase'
        and order_id is not null

)

-- A confirmation page that is opened again reports its order again; the first report counts.
select
    order_id,
    session_id

from purchases
where report_number = 1
