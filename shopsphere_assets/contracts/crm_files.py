"""Contracts of the legacy CRM's exports and the supplier files that come with them."""

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
    phone,
    postal_code,
    street,
    text,
)


class Contacts(Contract):
    """People in the legacy CRM (CSV)."""

    crm_contact_id: str = column("The CRM's number of the person.", str_matches="^C[0-9]{6,10}$")
    salutation: str = column("Form of address.", required=False, personal="identity")
    first_name: str = first_name("Given name.", required=False)
    last_name: str = last_name("Family name.")
    email: str = email("E-mail address.", required=False)
    phone: str = phone("Telephone number as typed.")
    street: str = street("Street and house number.", required=False)
    city: str = city("Town.", required=False)
    postal_code: str = postal_code("Postal code as typed.", required=False)
    country_code: str = country("Country (ISO 3166-1 alpha-2).", required=False, personal="location")
    birth_date: pl.Date = column("Date of birth.", required=False, personal="demographic")
    notes: str = text("Notes of the sales staff.", required=False, personal="free_text", purposes=("support",))
    created_on: pl.Date = column("Day of entry.", plausible_time=True)
    modified_at: Timestamp = moment("When the entry last changed.")


class LoyaltyAccounts(Contract):
    """Accounts of the loyalty programme (fixed width)."""

    loyalty_number: str = column("Number on the card.", str_matches="^[0-9]{10}$")
    crm_contact_id: str = column(
        "The person it belongs to.", references="crm_files/contacts.crm_contact_id", str_matches="^C[0-9]{6,10}$"
    )
    tier: str = column("Level.", isin=("bronze", "silver", "gold", "platinum"))
    points_balance: pl.Int64 = column("Points to spend.", unit="points", ge=0)
    enrolled_on: pl.Date = column("Day of joining.", plausible_time=True)
    modified_at: Timestamp = moment("When the account last changed.")


class Interactions(Contract):
    """Calls, visits and letters noted by the sales staff (JSON)."""

    interaction_id: str = column("The CRM's number of the interaction.")
    crm_contact_id: str = column(
        "The person concerned.", references="crm_files/contacts.crm_contact_id", str_matches="^C[0-9]{6,10}$"
    )
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
    country_code: str = country("Country (ISO 3166-1 alpha-2).")
    brand: str = text("Brand that it supplies.", required=False)
    lead_time_days: pl.Int64 = column("From order to delivery.", required=False, unit="days", ge=0, le=365)
    modified_at: Timestamp = moment("When the entry last changed.")
