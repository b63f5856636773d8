select order_id

from {{ ref('fct_orders') }}
where
    due_amount <> items_amount + shipping_amount + tax_amount - discount_amount
    or settled_amount <> paid_amount - refunded_amount
    or residual_amount <> settled_amount - due_amount
    or (settlement_status = 'settled' and residual_amount <> 0)
    or (settlement_status = 'unknown') <> (residual_amount is null)
