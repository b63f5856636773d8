"""Raw rows that are small enough to judge by hand and nasty enough to tell engines apart.

Belongs here: the rows, with what is nasty about them. Not here: what must come of them.
"""

from __future__ import annotations

from typing import Any

_T = "2026-01-01T00:00:00Z"


def _order(order_id: int, customer_id: int, status: str, placed_at: str, **more: Any) -> dict[str, Any]:
    more.setdefault("currency", "EUR")
    return {
        "order_id": order_id,
        "customer_id": customer_id,
        "status": status,
        "placed_at": placed_at,
        "updated_at": placed_at,
        **more,
    }


def _item(order_item_id: int, order_id: int, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "order_item_id": order_item_id,
        "order_id": order_id,
        "quantity": 1,
        "line_amount": amount,
        "updated_at": _T,
        **more,
    }


def _payment(payment_id: int, order_id: int, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "payment_id": payment_id,
        "order_id": order_id,
        "method": "card",
        "status": "captured",
        "currency": "EUR",
        "amount": amount,
        "paid_at": "2026-01-05T12:00:00Z",
        "updated_at": "2026-01-05T12:00:00Z",
        **more,
    }


def _refund(refund_id: int, order_id: int, amount: str, refunded_at: str, **more: Any) -> dict[str, Any]:
    return {
        "refund_id": refund_id,
        "order_id": order_id,
        "currency": "EUR",
        "amount": amount,
        "refunded_at": refunded_at,
        "updated_at": refunded_at,
        **more,
    }


def _event(event_id: str, visitor_id: str, event_type: str, occurred_at: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "visitor_id": visitor_id,
        "event_type": event_type,
        "url": "https://shop.example/",
        "occurred_at": occurred_at,
        "received_at": occurred_at,
        **more,
    }


def _email(number: int, campaign_id: str, event_type: str, recipient: str) -> dict[str, Any]:
    return {
        "event_id": f"mail-{number:04d}",
        "campaign_id": campaign_id,
        "event_type": event_type,
        "recipient_email": recipient,
        "occurred_at": f"2026-01-10T10:{number % 60:02d}:00.123456Z",
    }


def _customer(customer_id: int, email: str | None, **more: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "email": email,
        "registered_at": _T,
        "updated_at": _T,
        **more,
    }


# 32 deliveries of one opened e-mail: 1/32 = 0.03125 lies exactly between two values of four places.
_NEWSLETTER = [
    *(_email(n, "news", "SENT", f"reader{n}@example.com") for n in range(33)),
    *(_email(100 + n, "news", "DELIVERED", f"reader{n}@example.com") for n in range(32)),
    _email(200, "news", "OPEN", "reader1@example.com"),
    _email(201, "news", "OPEN", "Reader1@Example.com"),
    _email(202, "news", "CLICK", "reader1@example.com"),
    _email(203, "news", "UNSUBSCRIBE", "anna@example.com"),
    _email(204, "vanished", "OPEN", "anna@example.com"),
]

ROWS: dict[str, list[dict[str, Any]]] = {
    "shop_db/customers": [
        _customer(1, " Anna@Example.com", first_name="Anna", country_code="DE", is_marketing_opt_in=True),
        # Two accounts with one address: neither may be matched.
        _customer(2, "twin@example.com"),
        _customer(3, "TWIN@example.com"),
        # Letters that engines and locales lower differently.
        _customer(4, "ÄRGER@example.com", birth_date="2000-02-29"),
        _customer(5, "İstanbul@example.com"),
        _customer(6, "nobody@example.com"),
    ],
    "shop_db/addresses": [
        {
            "address_id": number,
            "customer_id": 4,
            "address_type": kind,
            "line1": "1 Main Street",
            "city": "Town",
            "country_code": country,
            "created_at": _T,
            "updated_at": updated_at,
        }
        for number, kind, country, updated_at in [
            (1, "shipping", "FR", "2026-01-02T00:00:00Z"),
            (2, "shipping", "IT", "2026-01-02T00:00:00Z"),
            (3, "billing", "GB", "2026-03-02T00:00:00Z"),
        ]
    ],
    "shop_db/orders": [
        _order(
            1, 1, "delivered", "2026-01-01T23:59:59.999999Z",
            shipping_amount="4.90", tax_amount="0.10", discount_amount="1.01", channel="web",
        ),
        _order(2, 1, "paid", "2026-01-02T00:00:00Z"),
        _order(3, 1, "cancelled", "2026-01-02T10:00:00Z"),
        _order(4, 2, "pending", "2026-01-02T10:00:00Z"),
        _order(5, 2, "returned", "2026-01-02T10:00:00Z"),
        # Its lines are in quarantine.
        _order(6, 2, "shipped", "2026-01-02T10:00:00Z", shipping_amount="5.00"),
        # Paid in another currency.
        _order(7, 4, "shipped", "2026-01-02T10:00:00Z", currency="USD"),
        # Same moment as the one before: the number decides which is the first.
        _order(8, 4, "shipped", "2026-01-02T10:00:00Z", currency="EUR"),
        # Its customer is in quarantine.
        _order(9, 99, "delivered", "2026-01-03T10:00:00Z", currency="JPY"),
    ],
    "shop_db/order_items": [
        _item(1, 1, "0.01", line_number=1, quantity=1, unit_price="0.01", product_id=1, sku="A-1"),
        _item(2, 1, "9999999999.98", line_number=2, quantity=2, product_id=2),
        _item(3, 2, "10.00", product_id=1, quantity=3),
        _item(4, 3, "20.00"),
        _item(5, 4, "30.00"),
        _item(6, 5, "40.00"),
        _item(7, 7, "50.00"),
        # The first line is missing.
        _item(8, 8, "60.00", line_number=2),
        _item(9, 9, "700.00"),
        # The order is in quarantine.
        _item(10, 404, "80.00", product_id=777),
    ],
    "shop_db/payments": [
        _payment(1, 1, "9999999999.98"),
        _payment(2, 1, "4.00", status="authorized"),
        _payment(3, 1, "5.00", status="failed"),
        _payment(4, 2, "10.00"),
        _payment(5, 3, "20.00"),
        _payment(6, 5, "40.00"),
        _payment(7, 7, "50.00"),
        _payment(8, 8, "75.55"),
        _payment(9, 405, "1.00"),
    ],
    "shop_db/refunds": [
        _refund(1, 2, "3.33", "2026-02-10T00:00:00Z", payment_id=4, reason="damaged"),
        _refund(2, 5, "40.00", "2026-01-02T12:00:00Z"),
        # A cancelled order and an unknown one: neither lowers the sales.
        _refund(3, 3, "20.00", "2026-01-02T12:00:00Z"),
        _refund(4, 406, "2.00", "2026-01-02T12:00:00Z"),
    ],
    "catalogue_db/categories": [
        {"category_id": number, "parent_category_id": parent, "name": name, "updated_at": _T}
        for number, parent, name in [
            (1, None, "Home"),
            (2, 1, "Kitchen"),
            (3, 2, "Knives & Ünterlagen"),
            (4, 404, "Orphan"),
            (5, 6, "Circle one"),
            (6, 5, "Circle two"),
        ]
    ],
    "catalogue_db/products": [
        {
            "product_id": number,
            "sku": sku,
            "name": f"Product {number}",
            "category_id": category,
            "brand": brand,
            "status": "active",
            "created_at": _T,
            "updated_at": _T,
        }
        for number, sku, category, brand in [
            (1, "A-1", 3, "ACME"),
            (2, "a-2", 4, "Twice"),
            (3, "B-3", 5, None),
            (4, "b-4", None, " acme "),
        ]
    ],
    "catalogue_db/prices": [
        {
            "price_id": number,
            "product_id": product,
            "currency": currency,
            "amount": amount,
            "valid_from": begin,
            "valid_to": end,
            "updated_at": updated_at,
        }
        for number, product, currency, amount, begin, end, updated_at in [
            (1, 1, "EUR", "10.00", _T, "2026-02-15T00:00:00Z", _T),
            (2, 1, "EUR", "11.00", "2026-02-01T00:00:00Z", "2026-02-20T00:00:00Z", _T),
            (3, 1, "EUR", "12.00", "2026-03-01T00:00:00Z", None, _T),
            (4, 1, "USD", "12.50", _T, None, _T),
            # Three from one moment, two of them entered at one moment.
            (5, 2, "EUR", "1.00", _T, None, "2026-01-03T00:00:00Z"),
            (6, 2, "EUR", "2.00", _T, None, "2026-01-03T00:00:00Z"),
            (7, 2, "EUR", "3.00", _T, None, "2026-01-02T00:00:00Z"),
            (8, 2, "EUR", "4.00", "2026-01-09T00:00:00Z", "2026-01-09T00:00:00Z", _T),
            (9, 404, "EUR", "5.00", _T, "2026-01-09T00:00:00Z", _T),
        ]
    ],
    "catalogue_db/inventory": [
        {
            "inventory_id": number,
            "product_id": product,
            "warehouse_code": warehouse,
            "quantity_on_hand": units,
            "quantity_sold": sold,
            "counted_on": day,
            "updated_at": updated_at,
        }
        for number, product, warehouse, units, sold, day, updated_at in [
            (1, 1, "W1", 5, 1, "2026-01-01", "2026-01-01T23:00:00Z"),
            (2, 1, "W1", 0, 5, "2026-01-04", "2026-01-04T23:00:00Z"),
            # Corrected.
            (3, 1, "W1", 1, 4, "2026-01-04", "2026-01-05T01:00:00Z"),
            (4, 1, "w1", 0, None, "2026-01-03", "2026-01-03T23:00:00Z"),
            (5, 2, "W1", 7, 0, "2026-01-06", "2026-01-06T23:00:00Z"),
            # Dated long after it was entered.
            (6, 2, "W1", 9, 0, "2099-01-06", "2026-01-06T23:00:00Z"),
            # So old that it is carried for a year only.
            (7, 3, "W1", 2, 0, "2024-02-28", "2024-02-28T23:00:00Z"),
        ]
    ],
    "hubspot/contacts": [
        {"contact_id": number, "email": email, "lifecycle_stage": "lead", "is_archived": archived}
        | {"created_at": _T, "updated_at": _T}
        for number, email, archived in [
            ("h1", "ANNA@example.com", False),
            ("h2", "anna@example.com", True),
            ("h3", "twin@example.com", None),
            ("h4", "ärger@example.com", False),
            ("h5", "nobody@example.com", False),
            ("H5", "Nobody@example.com", False),
        ]
    ],
    "hubspot/campaigns": [
        {
            "campaign_id": number,
            "name": number,
            "utm_campaign": utm_campaign,
            "status": "PUBLISHED",
            "published_at": published_at,
            "created_at": _T,
            "updated_at": _T,
        }
        for number, utm_campaign, published_at in [
            ("news", "spring", "2026-01-09T00:00:00Z"),
            # The same name and moment: the ids decide, byte by byte.
            ("b-twin", "twins", "2026-01-09T00:00:00Z"),
            ("B-twin", "twins", "2026-01-09T00:00:00Z"),
            ("draft", "", None),
        ]
    ],
    "hubspot/email_events": _NEWSLETTER,
    "web_logs/events": [
        # In disorder, at one moment, on the border of 30 minutes, and with ids that collations order apart.
        _event("evt-b2", "v1", "product_view", "2026-01-10T10:30:00Z", product_id=1),
        _event(
            "evt-a1", "v1", "page_view", "2026-01-10T10:00:00Z",
            url="https://shop.example?utm_campaign=spring", utm_campaign="spring", utm_source="hubspot",
        ),
        _event("evt-c3", "v1", "add_to_cart", "2026-01-10T10:31:00Z", customer_id=1, quantity=2),
        _event("evt-d4", "v1", "purchase", "2026-01-10T10:32:00.500Z", customer_id=1, order_id=1),
        # The confirmation page opened again, a day later.
        _event("evt-e5", "v1", "purchase", "2026-01-11T10:32:00Z", order_id=1),
        _event("evt-f1", "V1", "search", "2026-01-10T23:59:00Z", search_query="  Rote\t SCHUHE \n", utm_campaign=""),
        _event("evt-F1", "V1", "search", "2026-01-10T23:59:00Z", search_query=" \t "),
        _event("evt-g1", "V1", "product_view", "2026-01-11T00:29:00.000001Z", url="http://shop.example/p/1?x=/#y"),
        _event("evt-h1", "V1", "checkout_started", "2026-01-11T00:59:00.000002Z", url="https://shop.example/cart#top"),
        _event("evt-i1", "v2", "page_view", "2026-01-10T12:00:00Z", utm_campaign="twins", customer_id=1),
        _event("evt-i2", "v2", "purchase", "2026-01-10T12:10:00Z", customer_id=2, order_id=7),
        _event("evt-i3", "v2", "purchase", "2026-01-10T12:11:00Z", order_id=None),
        _event("evt-i4", "v2", "purchase", "2026-01-10T12:12:00Z", order_id=4),
    ],
    "web_logs/access_log": [
        {
            "log_line_id": f"line-{number}",
            "remote_host": host,
            "method": "GET",
            "path": "/",
            "status_code": status,
            "response_bytes": size,
            "user_agent": agent,
            "requested_at": requested_at,
        }
        for number, host, status, size, agent, requested_at in [
            (1, "192.0.2.1", 200, 100, "Mozilla/5.0", "2026-01-10T00:00:00Z"),
            (2, "192.0.2.1", 503, None, None, "2026-01-10T23:59:59Z"),
            (3, "192.0.2.2", 404, 3_000_000_000, "GoogleBOT", "2026-01-10T12:00:00Z"),
            (4, "192.0.2.2", 301, 0, "web-crawler", "2026-01-11T12:00:00Z"),
        ]
    ],
    "reviews/reviews": [
        {
            "review_id": f"r{number}",
            "product_id": product,
            "rating": rating,
            "status": status,
            "created_at": "2026-01-20T20:00:00Z",
            "updated_at": "2026-01-20T20:00:00Z",
        }
        # 33 stars of 8 reviews: 4.125 lies exactly between two values of two places.
        for number, product, rating, status in [
            *((n, 1, 4, "published") for n in range(7)),
            (7, 1, 5, "published"),
            (8, 1, 1, "rejected"),
            (9, 404, 3, "published"),
        ]
    ],
    "crm_files/contacts": [
        {"crm_contact_id": number, "last_name": "X", "email": email, "created_on": "2020-01-01", "modified_at": _T}
        for number, email in [
            ("C000001", "anna@example.com "),
            ("C000002", None),
            ("C000003", "nobody@example.com"),
        ]
    ],
    "crm_files/loyalty_accounts": [
        {
            "loyalty_number": number,
            "crm_contact_id": contact,
            "tier": tier,
            "points_balance": 10,
            "enrolled_on": "2020-01-01",
            "modified_at": _T,
        }
        for number, contact, tier in [
            ("0000000001", "C000001", "bronze"),
            ("0000000002", "C000001", "gold"),
            ("0000000003", "C000404", "silver"),
        ]
    ],
    "crm_files/interactions": [
        {"interaction_id": "i1", "crm_contact_id": "C000001", "channel": "phone", "occurred_at": _T},
    ],
    "crm_files/suppliers": [
        {"supplier_id": number, "name": number, "country_code": "DE", "brand": brand, "modified_at": _T}
        for number, brand in [("s1", "Acme"), ("s2", "twice"), ("S2", "TWICE"), ("s3", None)]
    ],
    "support/tickets": [
        {
            "ticket_id": number,
            "requester_email": "Anna@example.com",
            "customer_id": customer,
            "order_id": order,
            "channel": "email",
            "status": status,
            "created_at": "2026-01-20T10:00:00Z",
            "solved_at": solved_at,
            "updated_at": "2026-01-22T10:00:00Z",
        }
        for number, customer, order, status, solved_at in [
            ("t1", 1, 1, "solved", "2026-01-20T12:30:00.999Z"),
            ("t2", 1, 404, "open", None),
            ("t3", None, None, "new", None),
        ]
    ],
}  # fmt: skip
