"""The help desk's ticket export (JSON)."""

from __future__ import annotations

import dagster as dg

from resources.file_source import JsonRecords
from shopsphere_assets.contracts import support as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable, SourceSystem

SUPPORT = SourceSystem(
    name="support",
    title="Help desk",
    description="Requests for help and how they ended.",
    tables=(
        RawTable(
            "support",
            "tickets",
            contracts.Tickets,
            key=("ticket_id",),
            cursor="updated_at",
            read=FileRead("tickets-*.json*", JsonRecords()),
        ),
    ),
)


@dg.definitions
def support() -> dg.Definitions:
    """Asset, checks and sensor of the help desk."""
    return raw_source(SUPPORT)
