"""Contracts of the web shop's logs: tracked events and the web server's access log."""

from __future__ import annotations

import polars as pl

from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment, not_before, text


class Events(Contract):
    """What visitors did on the web site, one row per event."""

    event_id: str = column("The tracker's number of the event.", str_length={"min_value": 8, "max_value": 64})
    event_type: str = column(
        "What the visitor did.",
        isin=("page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout_started", "purchase"),
    )  # fmt: skip
    visitor_id: str = column("The visitor's cookie.", personal="online_identifier")
    customer_id: pl.Int64 = column(
        "The customer, where signed in.", references="shop_db/customers.customer_id", required=False
    )
    url: str = column("Address of the page.", str_startswith="http", correction="url")
    referrer: str = column("Address of the page before.", required=False)
    utm_source: str = column("Where the visit came from, as the link said.", required=False)
    utm_medium: str = column("By what kind of link.", required=False)
    utm_campaign: str = column("For which campaign.", required=False)
    search_query: str = text("What was searched for.", required=False, personal="free_text")
    product_id: pl.Int64 = column(
        "The product concerned.", references="catalogue_db/products.product_id", required=False
    )
    order_id: pl.Int64 = column("The order, for a purchase.", references="shop_db/orders.order_id", required=False)
    quantity: pl.Int64 = column("Units put into or taken out of the cart.", required=False, unit="units", ge=1, le=1000)
    user_agent: str = column("The visitor's browser.", required=False, personal="online_identifier")
    ip_address: str = column(
        "The visitor's address.", required=False, personal="online_identifier", purposes=("fraud_prevention",)
    )
    occurred_at: Timestamp = moment("When it happened, by the server's clock.")
    received_at: Timestamp = moment("When the collector received it.")

    received_not_before_occurred = not_before("received_at", "occurred_at")


class AccessLog(Contract):
    """The web server's access log (combined format), one row per request."""

    log_line_id: str = column("Content hash of the file and number of the line.")
    remote_host: str = column("Address of the caller.", personal="online_identifier", purposes=("fraud_prevention",))
    remote_user: str = column("User name, where the server asked for one.", required=False, personal="identity")
    method: str = column("HTTP method.", isin=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
    path: str = column("Path and query that were asked for.", str_startswith="/", correction="path")
    protocol: str = column("HTTP version.", required=False)
    status_code: pl.Int64 = column("HTTP status of the answer.", ge=100, le=599)
    response_bytes: pl.Int64 = column("Size of the answer.", required=False, unit="bytes", ge=0)
    referrer: str = column("Address of the page before.", required=False)
    user_agent: str = column("The caller's program.", required=False, personal="online_identifier")
    requested_at: Timestamp = moment("When the request was answered.")
