"""Contracts of the legacy CRM's exports and the supplier files that come with them."""

from __future__ import annotations

import polars as pl

from shopsphere_assets.contracts.base import (
    COUNTRIES,
    POSTAL_CODE_PATTERN,
    Contract,
    Timestamp,
    column,
    email,
    moment,
    name,
    phone,
    text,
)


class Contacts(Contract):
    """People in the legacy CRM (CSV)."""

    crm_contact_id: str = column("The CRM's number of the person.", str_matches="^C[0-9]{6,10}$")
    salutation: str = column("Form of address.", required=False, personal="identity")
    first_name: str = name("Given name.", required=False)
    last_name: str = name("Family name.")
    email: str = email("E-mail address.", required=False)
    phone: str = phone("Telephone number as typed.")
    street: str = text("Street and house number.", required=False, personal="location")
    city: str = text("Town.", required=False, personal="location")
    postal_code: str = column(
        "Postal code as typed.", required=False, personal="location", str_matches=POSTAL_CODE_PATTERN
    )
    country_code: str = column("Country (ISO 3166-1 alpha-2).", required=False, personal="location", isin=COUNTRIES)
    birth_date: pl.Date = column("Date of birth.", required=False, personal="demographic")
    notes: str = text("Notes of the sales staff.", required=False, personal="free_text", purposes=("support",))
    created_on: pl.Date = column("Day of entry.", plausible_time=True)
    modified_at: Timestamp = moment("When the entry last changed.")


class LoyaltyAccounts(Contract):
    """Accounts of the loyalty programme (fixed width)."""

    loyalty_number: str = column("Number on the card.", str_matches="^[0-9]{10}$")
    crm_contact_id: str = column("The person it belongs to.", str_matches="^C[0-9]{6,10}$")
    tier: str = column("Level.", isin=("bronze", "silver", "gold", "platinum"))
    points_balance: pl.Int64 = column("Points to spend.", unit="points", ge=0)
    enrolled_on: pl.Date = column("Day of joining.", plausible_time=True)
    modified_at: Timestamp = moment("When the account last changed.")


class Interactions(Contract):
    """Calls, visits and letters noted by the sales staff (JSON)."""

    interaction_id: str = column("The CRM's number of the interaction.")
    crm_contact_id: str = column("The person concerned.", str_matches="^C[0-9]{6,10}$")
    channel: str = column("How.", isin=("phone", "email", "store", "letter", "chat"))
    direction: str = column("Who began.", required=False, isin=("inbound", "outbound"))
    subject: str = text("About what.", required=False, personal="free_text")
    notes: str = text("What was said.", required=False, personal="free_text", purposes=("support",))
    occurred_at: Timestamp = moment("When.")


class Suppliers(Contract):
    """Companies that the shop buys from (XML)."""

    supplier_id: str = column("The CRM's number of the supplier.")
    name: str = text("Company name.", not_a_placeholder=True)
    contact_email: str = email("Address for orders.", required=False, purposes=("fulfilment",))
    phone: str = phone("Telephone number.")
    country_code: str = column("Country (ISO 3166-1 alpha-2).", isin=COUNTRIES)
    brand: str = text("Brand that it supplies.", required=False)
    lead_time_days: pl.Int64 = column("From order to delivery.", required=False, unit="days", ge=0, le=365)
    modified_at: Timestamp = moment("When the entry last changed.")
