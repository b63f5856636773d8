-- A later step proves the earlier ones, even where their events were lost.
with sessions as (

    select
        session_date,
        is_converted
        or product_views + cart_additions + cart_removals + checkouts > 0 as has_seen_product,
        is_converted or cart_additions + cart_removals + checkouts > 0 as has_used_cart,
        is_converted or checkouts > 0 as has_started_checkout,
        is_converted as has_purchased
    from {{ ref('fct_sessions') }}

),

summed as (

    select
        session_date as funnel_date,
        count(*) as sessions,
        count(*) filter (where has_seen_product) as product_sessions,
        count(*) filter (where has_used_cart) as cart_sessions,
        count(*) filter (where has_started_checkout) as checkout_sessions,
        count(*) filter (where has_purchased) as purchase_sessions
    from sessions
    group by session_date

)

select
    funnel_date,
    sessions,
    product_sessions,
    cart_sessions,
    checkout_sessions,
    purchase_sessions,
    {{ exact_quotient('product_sessions', 'sessions') }} as product_rate,
    {{ exact_quotient('cart_sessions', 'product_sessions') }} as cart_rate,
    {{ exact_quotient('checkout_sessions', 'cart_sessions') }} as checkout_rate,
    {{ exact_quotient('purchase_sessions', 'checkout_sessions') }} as purchase_rate,
    {{ exact_quotient('purchase_sessions', 'sessions') }} as conversion_rate

from summed
