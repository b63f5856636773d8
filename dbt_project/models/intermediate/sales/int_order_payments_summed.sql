{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('fct_payments')) }} as payments
{% endcall %}

with payments as (

    select * from {{ ref('fct_payments') }}
    {{ where_affected('order_id') }}

)

select
    order_id,
    cast(
        coalesce(
            sum(payment_amount) filter (where is_captured and not is_other_currency), 0
        ) as numeric(18, 2)
    ) as paid_amount,
    cast(
        coalesce(
            sum(payment_amount) filter (
                where payment_status = 'authorized' and not is_other_currency
            ), 0
        ) as numeric(18, 2)
    ) as authorized_amount,
    bool_or(is_captured and is_other_currency) as has_other_currency

from payments
where not is_orphan
group by order_id
