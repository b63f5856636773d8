"""HubSpot: contacts, marketing e-mails (campaigns) and what happened to each e-mail sent."""

from __future__ import annotations

import dagster as dg

from resources.http_source import BodyCursor, Endpoint, HubSpotSearch, Since
from shopsphere_assets.contracts import hubspot as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import HttpRead, RawTable, SourceSystem

_CONTACT_PROPERTIES = (
    "email",
    "firstname",
    "lastname",
    "phone",
    "city",
    "country",
    "lifecyclestage",
    "createdate",
    "lastmodifieddate",
)

_CONTACT_FIELDS = {
    "contact_id": "id",
    "email": "properties.email",
    "first_name": "properties.firstname",
    "last_name": "properties.lastname",
    "phone": "properties.phone",
    "city": "properties.city",
    "country_code": "properties.country",
    "lifecycle_stage": "properties.lifecyclestage",
    "is_archived": "archived",
    "created_at": "properties.createdate",
    "updated_at": "properties.lastmodifieddate",
}

# The search gives what has changed, but never archived contacts; those come by the list alone.
_CONTACTS = (
    Endpoint(
        "/crm/v3/objects/contacts/search",
        method="POST",
        records="results",
        page_size=200,
        paging=HubSpotSearch(properties=_CONTACT_PROPERTIES),
        fields=_CONTACT_FIELDS,
    ),
    Endpoint(
        "/crm/v3/objects/contacts",
        records="results",
        parameters={"archived": "true", "properties": ",".join(_CONTACT_PROPERTIES)},
        paging=BodyCursor(),
        fields=_CONTACT_FIELDS,
    ),
)

_CAMPAIGN_FIELDS = {
    "campaign_id": "id",
    "name": "name",
    "subject": "subject",
    "utm_campaign": "campaignName",
    "status": "state",
    "published_at": "publishDate",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
}

_CAMPAIGNS = (
    Endpoint(
        "/marketing/v3/emails",
        records="results",
        paging=BodyCursor(),
        since=Since("updatedAfter"),
        empty_is_null=True,
        fields=_CAMPAIGN_FIELDS,
    ),
    Endpoint(
        "/marketing/v3/emails",
        records="results",
        parameters={"archived": "true"},
        paging=BodyCursor(),
        since=Since("updatedAfter"),
        empty_is_null=True,
        fields={name: path for name, path in _CAMPAIGN_FIELDS.items() if name != "status"},
        constants={"status": "ARCHIVED"},
    ),
)

_EMAIL_EVENTS = (
    Endpoint(
        "/email/public/v1/events",
        records="events",
        page_size=1000,
        paging=BodyCursor("offset", "offset", more_path="hasMore"),
        since=Since("startTimestamp", "epoch_ms"),
        epoch_ms_columns=("occurred_at",),
        fields={
            "event_id": "id",
            "campaign_id": "emailCampaignId",
            "event_type": "type",
            "recipient_email": "recipient",
            "url": "url",
            "user_agent": "userAgent",
            "occurred_at": "created",
        },
    ),
)

HUBSPOT = SourceSystem(
    name="hubspot",
    title="HubSpot",
    description="Whom marketing knows, what it sent them, and what they did with it.",
    tables=(
        RawTable("hubspot", "contacts", contracts.Contacts, ("contact_id",), "updated_at", HttpRead(_CONTACTS)),
        RawTable("hubspot", "campaigns", contracts.Campaigns, ("campaign_id",), "updated_at", HttpRead(_CAMPAIGNS)),
        RawTable(
            "hubspot",
            "email_events",
            contracts.EmailEvents,
            ("event_id",),
            "occurred_at",
            HttpRead(_EMAIL_EVENTS, is_append_only=True),
        ),
    ),
)


@dg.definitions
def hubspot() -> dg.Definitions:
    """Assets, checks and sensor of HubSpot."""
    return raw_source(HUBSPOT)
