"""The web shop's logs: the tracker's events (JSON lines) and the web server's access log."""

from __future__ import annotations

import dagster as dg

from resources.file_source import CombinedLog, JsonLines
from shopsphere_assets.contracts import web_logs as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable, SourceSystem

WEB_LOGS = SourceSystem(
    name="web_logs",
    title="Web logs",
    description="What visitors do on the web site.",
    tables=(
        RawTable(
            "web_logs",
            "events",
            contracts.Events,
            key=("event_id",),
            cursor="received_at",
            read=FileRead("events/events-*.jsonl*", JsonLines()),
        ),
        RawTable(
            "web_logs",
            "access_log",
            contracts.AccessLog,
            key=("log_line_id",),
            cursor="requested_at",
            read=FileRead("access/access-*.log*", CombinedLog()),
        ),
    ),
)


@dg.definitions
def web_logs() -> dg.Definitions:
    """Assets, checks and sensor of the web logs."""
    return raw_source(WEB_LOGS)
