{{
    config(
        materialized='incremental',
        unique_key='order_id',
        indexes=indexes_on(['order_id'])
    )
}}

{% call affected_keys() %}
    select order_id from {{ changed(ref('fct_refunds')) }} as refunds
{% endcall %}

with refunds as (

    select * from {{ ref('fct_refunds') }}
    {{ where_affected('order_id') }}

)

select
    order_id,
    cast(
        coalesce(sum(refund_amount) filter (where not is_other_currency), 0) as numeric(18, 2)
    ) as refunded_amount,
    bool_or(is_other_currency) as has_other_currency

from refunds
where not is_orphan
group by order_id
