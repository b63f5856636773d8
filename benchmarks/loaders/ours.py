"""Loads one table as the platform does: with its contract, the lake, the quarantine and the ledger.

What the raw asset does, without Dagster around it; :func:`ingest_table` is the one place that calls the
platform's ingestion.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import timedelta
from pathlib import Path

from resources.file_source import FileSource
from resources.sql_source import SqlSource
from resources.warehouse import open_warehouse
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.ledger import BatchReport, read_state
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable, database_table

LOOKBACK = timedelta(hours=48)
"""The platform's default."""


def ingest_table(table: RawTable, source: str, target: str, lake: Path) -> BatchReport | None:
    """Read what is new of ``table`` from the URL ``source`` into the warehouse at the URL ``target``."""
    warehouse = open_warehouse(target)
    warehouse.prepare()
    warehouse.ensure_tables([table.definition])
    state = read_state(warehouse, [table])[table.name]
    reader = FileSource(source) if isinstance(table.read, FileRead) else SqlSource(source)
    return ingest(table, reader, Destination(warehouse, lake), state=state, run_id="benchmark", lookback=LOOKBACK)


def raw_table(name: str) -> RawTable:
    """The platform's raw table of that name, of the shop's database or the web logs."""
    # As the definitions declare them, whose import would bring Dagster along.
    from resources.file_source import JsonLines
    from shopsphere_assets.contracts import shop_db, web_logs

    if name == "events":
        read = FileRead("events/events-*.jsonl*", JsonLines())
        return RawTable("web_logs", name, web_logs.Events, key=("event_id",), cursor="received_at", read=read)
    contracts = {
        "customers": (shop_db.Customers, "customer_id"),
        "addresses": (shop_db.Addresses, "address_id"),
        "orders": (shop_db.Orders, "order_id"),
        "order_items": (shop_db.OrderItems, "order_item_id"),
        "payments": (shop_db.Payments, "payment_id"),
        "refunds": (shop_db.Refunds, "refund_id"),
    }
    contract, key = contracts[name]
    return database_table("shop_db", name, contract, key)


def main() -> None:
    """Load the tables one after another; the last line of the output counts their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", help="mysql:// or postgresql://")
    parser.add_argument("--target", required=True, help="postgresql:// or duckdb:///")
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--table", default=[], nargs="+")
    parser.add_argument("--events", help="folder of the web logs, whose events are loaded too")
    parser.add_argument("--case", action="store_true", help="the tables are cases of benchmarks.type_cases")
    arguments = parser.parse_args()
    if arguments.case:
        from benchmarks.type_cases import CASES

        places = [(CASES[name].raw_table(), arguments.source) for name in arguments.table]
    else:
        places = [(raw_table(name), arguments.source) for name in arguments.table]
    if arguments.events:
        places.append((raw_table("events"), arguments.events))
    loaded = quarantined = 0
    for table, source in places:
        report = ingest_table(table, source, arguments.target, arguments.lake)
        if report is not None:
            loaded += report.rows_loaded
            quarantined += report.rows_quarantined
    sys.stdout.write(json.dumps({"rows_loaded": loaded, "rows_quarantined": quarantined}) + "\n")


if __name__ == "__main__":
    main()
