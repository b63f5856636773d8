"""The legacy CRM's exports: people (CSV), loyalty accounts (fixed width), interactions (JSON), suppliers (XML)."""

from __future__ import annotations

import dagster as dg

from resources.file_source import Csv, FileFormat, FixedWidth, JsonRecords, Xml
from shopsphere_assets.contracts import crm_files as contracts
from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable, SourceSystem

LOYALTY_LAYOUT = FixedWidth(
    fields=(
        ("loyalty_number", 1, 16),
        ("crm_contact_id", 17, 16),
        ("tier", 33, 16),
        ("points_balance", 49, 16),
        ("enrolled_on", 65, 16),
        ("modified_at", 81, 32),
    )
)

SUPPLIERS_LAYOUT = Xml(
    record_tag="supplier",
    fields={
        "supplier_id": "@id",
        "modified_at": "@modified-at",
        "contact_email": "email",
        "country_code": "country/@code",
        "lead_time_days": "lead-time",
    },
)


def _table(name: str, contract: type[Contract], key: str, cursor: str, pattern: str, form: FileFormat) -> RawTable:
    return RawTable("crm_files", name, contract, key=(key,), cursor=cursor, read=FileRead(pattern, form))


CRM_FILES = SourceSystem(
    name="crm_files",
    title="Legacy CRM exports",
    description="People, loyalty accounts, interactions and suppliers, as files dropped by the legacy CRM.",
    tables=(
        _table("contacts", contracts.Contacts, "crm_contact_id", "modified_at", "contacts/*.csv*", Csv()),
        _table(
            "loyalty_accounts",
            contracts.LoyaltyAccounts,
            "loyalty_number",
            "modified_at",
            "loyalty/*.txt*",
            LOYALTY_LAYOUT,
        ),
        _table(
            "interactions",
            contracts.Interactions,
            "interaction_id",
            "occurred_at",
            "interactions/*.json*",
            JsonRecords(record_path="interactions"),
        ),
        _table("suppliers", contracts.Suppliers, "supplier_id", "modified_at", "suppliers/*.xml*", SUPPLIERS_LAYOUT),
    ),
)


@dg.definitions
def crm_files() -> dg.Definitions:
    """Assets, checks and sensor of the CRM's files."""
    return raw_source(CRM_FILES)
