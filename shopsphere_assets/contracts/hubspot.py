"""Contracts of HubSpot: contacts, campaigns (marketing e-mails), e-mail events."""

from __future__ import annotations

import polars as pl

from shopsphere_assets.contracts.base import (
    Contract,
    Timestamp,
    city,
    column,
    country,
    email,
    first_name,
    last_name,
    moment,
    not_before,
    phone,
    text,
)


class Contacts(Contract):
    """People known to marketing."""

    contact_id: str = column("HubSpot's number of the contact (hs_object_id).")
    email: str = email("E-mail address.")
    first_name: str = first_name("Given name.", required=False)
    last_name: str = last_name("Family name.", required=False)
    phone: str = phone("Telephone number as typed.")
    city: str = city("Town.", required=False)
    country_code: str = country("Country (ISO 3166-1 alpha-2).", required=False, personal="location")
    lifecycle_stage: str = column(
        "Where the contact stands.",
        required=False,
        isin=(
            *("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead"),
            *("opportunity", "customer", "evangelist", "other"),
        ),
    )
    is_archived: pl.Boolean = column("Whether HubSpot has archived the contact.", required=False)
    created_at: Timestamp = moment("When the contact was created.")
    updated_at: Timestamp = moment("When the contact last changed.")

    updated_not_before_created = not_before("updated_at", "created_at")


class Campaigns(Contract):
    """Marketing e-mails, each sent as one campaign."""

    campaign_id: str = column("HubSpot's number of the e-mail.")
    name: str = text("Internal name.", not_a_placeholder=True)
    subject: str = text("Subject line.", required=False)
    utm_campaign: str = column("Name carried by its links to the shop.", required=False)
    status: str = column("State.", isin=("DRAFT", "SCHEDULED", "PUBLISHED", "ARCHIVED"))
    published_at: Timestamp = moment("When it was sent.", required=False)
    created_at: Timestamp = moment("When it was created.")
    updated_at: Timestamp = moment("When it last changed.")

    updated_not_before_created = not_before("updated_at", "created_at")


class EmailEvents(Contract):
    """What happened to each e-mail that was sent."""

    event_id: str = column("HubSpot's number of the event.")
    campaign_id: str = column("The marketing e-mail it belongs to.", references="hubspot/campaigns.campaign_id")
    event_type: str = column(
        "What happened.",
        isin=("SENT", "DELIVERED", "OPEN", "CLICK", "BOUNCE", "DEFERRED", "DROPPED", "SPAMREPORT", "UNSUBSCRIBE"),
    )
    recipient_email: str = email("Who received it.", purposes=("marketing",))
    url: str = column("The link that was clicked.", required=False)
    user_agent: str = column("The reader's mail program.", required=False, personal="online_identifier")
    occurred_at: Timestamp = moment("When it happened.")
