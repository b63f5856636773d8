"""Contract of the help desk's ticket export."""

from __future__ import annotations

import polars as pl

from shopsphere_assets.contracts.base import Contract, Timestamp, column, email, moment, not_before, text


class Tickets(Contract):
    """Requests for help (JSON)."""

    ticket_id: str = column("The help desk's number of the ticket.")
    requester_email: str = email("Who asked.", purposes=("support",))
    requester_name: str = text("Name given.", required=False, personal="identity")
    customer_id: pl.Int64 = column(
        "The customer, where known.", references="shop_db/customers.customer_id", required=False
    )
    order_id: pl.Int64 = column(
        "The order concerned, where known.", references="shop_db/orders.order_id", required=False
    )
    channel: str = column("How the request came.", isin=("email", "chat", "phone", "web"))
    subject: str = text("Headline.", required=False, personal="free_text")
    body: str = text("Text.", required=False, personal="free_text", purposes=("support",))
    status: str = column("State.", isin=("new", "open", "pending", "solved", "closed"))
    priority: str = column("Urgency.", required=False, isin=("low", "normal", "high", "urgent"))
    satisfaction_rating: pl.Int64 = column("Answer to the survey, 1 to 5.", required=False, unit="points", ge=1, le=5)
    created_at: Timestamp = moment("When it was opened.")
    solved_at: Timestamp = moment("When it was solved.", required=False)
    updated_at: Timestamp = moment("When it last changed.")

    updated_not_before_created = not_before("updated_at", "created_at")

    solved_not_before_created = not_before("solved_at", "created_at")
