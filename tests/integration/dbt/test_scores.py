"""Scores of raw tables and marts: the hand-made rows give the same figures on both engines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from resources.warehouse import Warehouse, open_warehouse
from resources.warehouse.system_tables import BATCHES, QUARANTINE_ROWS
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.quality.scores import Score, keep_scores, marts_of, newest_scores, score_marts, score_raw
from shopsphere_assets.transformation.results import record_results
from tests.integration.dbt.warehouses import DuckDBWarehouse, PostgresWarehouse

TABLES = {table.label: table for system in source_systems() for table in system.tables}
NOW = datetime(2026, 6, 2, tzinfo=UTC)

Figures = dict[tuple[str, str], Score]


def scored(built: DuckDBWarehouse | PostgresWarehouse) -> tuple[Warehouse, Figures]:
    """Every score of the warehouse as the hand-made rows left it, with a little more in quarantine and ledger."""
    warehouse = open_warehouse(built.url)
    warehouse.prepare()
    target = Path(built.environment["DBT_TARGET_PATH"])
    record_results(warehouse, target / "run_results.json", run_id="build", finished_at=NOW)
    reasons: list[list[tuple[str, str | None, str | None]]] = [
        [("email.required", "email", None), ("phone.format", "phone", '{"rule":"x.type"}')],
        [("phone.format", "phone", "!"), ("country_code.allowed_values", "country_code", "ZZ")],
        [("updated_not_before_registered", None, None)],
    ]
    entries = [_entry(number, some) for number, some in enumerate(reasons)]
    batches = [
        _batch("orders", 1, NOW - timedelta(days=2), watermark=NOW - timedelta(days=2, hours=1)),
        _batch("orders", 2, NOW - timedelta(days=1), watermark=NOW - timedelta(days=1, hours=1)),
        _batch("payments", 3, NOW - timedelta(days=20)),
        _batch("refunds", 4, NOW + timedelta(hours=1)),
    ]
    with warehouse.transaction() as transaction:
        for table, rows in ((QUARANTINE_ROWS, entries), (BATCHES, batches)):
            transaction.execute(f"DELETE FROM {table}")
            transaction.append(table.schema, table.name, pa.Table.from_pylist(rows, schema=table.columns))
    scores = [score for table in TABLES.values() for score in score_raw(warehouse, table, TABLES, NOW)]
    scores += score_marts(warehouse, marts_of(json.loads((target / "manifest.json").read_text())))
    keep_scores(warehouse, scores, run_id="run", at=NOW)
    keep_scores(warehouse, scores, run_id="run", at=NOW)
    return warehouse, {(score.relation, score.dimension): score for score in scores}


def _entry(number: int, reasons: list[tuple[str, str | None, str | None]]) -> dict[str, Any]:
    told = [{"rule": rule, "column": column, "value": value} for rule, column, value in reasons]
    return {
        "quarantine_id": str(number),
        "source": "shop_db",
        "table_name": "customers",
        "row_key": str(9_000 + number),
        "reasons": json.dumps(told, separators=(",", ":")),
    }


def _batch(table: str, sequence: int, at: datetime, *, watermark: datetime | None = None) -> dict[str, Any]:
    return {
        "batch_id": str(sequence),
        "source": "shop_db",
        "table_name": table,
        "started_at": at,
        "finished_at": at + timedelta(seconds=5),
        "sequence": sequence,
        "kind": "incremental",
        "rows_loaded": 1,
        "watermark": watermark.isoformat() if watermark else None,
    }


def measure(figures: Figures, relation: str, dimension: str, name: str) -> tuple[int, int]:
    [found] = [m for m in figures[relation, dimension].measures if m.measure.startswith(name)]
    return found.good, found.total


def test_both_engines_score_alike(built_duckdb: DuckDBWarehouse, built_postgres: PostgresWarehouse) -> None:
    warehouse, figures = scored(built_duckdb)
    _, same = scored(built_postgres)
    assert figures == same
    kept = newest_scores(warehouse)
    assert len(kept) == len(figures)
    assert {row["relation"] for row in kept} >= {"raw.shop_db__orders", "sales.fct_orders"}
    customers = [row for row in kept if row["relation"] == "raw.shop_db__customers"]
    assert [row["dimension"] for row in customers] == ["completeness", "accuracy", "consistency", "timeliness"]
    assert json.loads(customers[0]["detail"])[1]["measure"] == "email"

    # The three rows in quarantine count as well; of several rules broken a row is harmed by each, but once.
    live = warehouse.query("SELECT count(*) FROM raw.shop_db__customers WHERE _deleted_at IS NULL").column(0)[0].as_py()
    rows, raw = live + 3, "raw.shop_db__customers"
    assert measure(figures, raw, "completeness", "email") == (rows - 1, rows)
    assert measure(figures, raw, "accuracy", "phone.format") == (rows - 2, rows)
    accuracy = figures[raw, "accuracy"]
    assert (accuracy.good, accuracy.total) == (rows - 2, rows)
    assert measure(figures, raw, "consistency", "updated_not_before_registered") == (rows - 1, rows)

    # References across systems, and orphans among the hand-made rows.
    good, total = measure(figures, "raw.shop_db__order_items", "consistency", "product_id in catalogue_db/products")
    assert 0 < good <= total
    good, total = measure(figures, "raw.shop_db__payments", "consistency", "order_id in shop_db/orders")
    assert 0 < good < total

    # Clocks: of orders each batch was loaded soon; payments have not been read for long.
    assert measure(figures, "raw.shop_db__orders", "timeliness", "read as often") == (1, 1)
    assert measure(figures, "raw.shop_db__orders", "timeliness", "loaded within") == (1, 1)
    assert measure(figures, "raw.shop_db__payments", "timeliness", "read as often") == (0, 1)
    assert figures["raw.web_logs__events", "timeliness"].score is None

    # A mart: what its model declares, its tests, and whether it has the newest batches.
    assert measure(figures, "sales.fct_orders", "consistency", "payments less refunds")[1] > 0
    good, total = measure(figures, "sales.fct_payments", "consistency", "relationships")
    assert 0 < good < total
    assert measure(figures, "sales.fct_orders", "accuracy", "unique")[1] > 0
    assert measure(figures, "sales.fct_refunds", "timeliness", "newest batch of shop_db/refunds") == (0, 1)
    assert measure(figures, "sales.fct_refunds", "timeliness", "newest batch of shop_db/orders") == (1, 1)
