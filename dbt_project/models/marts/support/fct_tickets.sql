with tickets as (

    select * from {{ ref('stg_support__tickets') }}

),

orders as (

    select order_id from {{ ref('fct_orders') }}

)

select
    -- ids
    tickets.ticket_id,
    tickets.customer_id,
    tickets.order_id,

    -- text
    tickets.normalised_email as requester_email,
    tickets.channel,
    tickets.subject,
    tickets.ticket_status,
    tickets.priority,

    -- numerics
    tickets.satisfaction_rating,
    {{ seconds_between('tickets.created_at', 'tickets.solved_at') }} as seconds_to_solve,

    -- booleans
    tickets.ticket_status in ('solved', 'closed') as is_solved,
    tickets.order_id is not null and orders.order_id is null as is_orphan,

    -- times
    {{ reporting_date('tickets.created_at') }} as ticket_date,
    tickets.created_at,
    tickets.solved_at,
    tickets.updated_at

from tickets
left join orders on tickets.order_id = orders.order_id
