select funnel_date

from {{ ref('fct_daily_funnel') }}
where
    product_sessions > sessions
    or cart_sessions > product_sessions
    or checkout_sessions > cart_sessions
    or purchase_sessions > checkout_sessions
