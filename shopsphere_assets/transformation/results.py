"""What the latest build said of every model and test, kept in the warehouse.

A publication asks here whether anything in the marts is broken or was left behind: a build of some models
must not publish the failures of an earlier build of others.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from resources.warehouse import TableDefinition, Warehouse

NODE_RESULTS = TableDefinition(
    schema="ledger",
    name="node_results",
    columns=pa.schema(
        [
            ("node_id", pa.string()),
            ("status", pa.string()),
            ("message", pa.string()),
            ("run_id", pa.string()),
            ("finished_at", pa.timestamp("us", tz="UTC")),
            ("seconds", pa.float64()),
        ]
    ),
    comment="The latest result of every dbt model and test.",
)

_STARTED = "started"
_BROKEN = ("error", "fail", "skipped", "runtime error", _STARTED)


def record_start(warehouse: Warehouse, models: Collection[str], *, run_id: str, started_at: datetime) -> None:
    """Note that ``models`` are being built: one whose build was killed has no good result until the next."""
    rows = [_row(model, _STARTED, "the build has not ended", run_id, started_at) for model in sorted(models)]
    _replace(warehouse, rows)


def record_results(warehouse: Warehouse, run_results: Path, *, run_id: str, finished_at: datetime) -> None:
    """Take the results of one dbt run (``run_results.json``) for the latest of their models and tests."""
    results = json.loads(run_results.read_text())["results"]
    rows = [
        _row(
            result["unique_id"],
            result["status"],
            result.get("message"),
            run_id,
            finished_at,
            result.get("execution_time") or 0.0,
        )
        for result in results
    ]
    _replace(warehouse, rows)


def _row(
    node_id: str, status: str, message: str | None, run_id: str, finished_at: datetime, seconds: float = 0.0
) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "status": status,
        "message": message,
        "run_id": run_id,
        "finished_at": finished_at,
        "seconds": seconds,
    }


def _replace(warehouse: Warehouse, rows: list[dict[str, Any]]) -> None:
    warehouse.ensure_tables([NODE_RESULTS])
    with warehouse.transaction() as transaction:
        names = [row["node_id"] for row in rows]
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            marks = ", ".join(f"${i + 1}" for i in range(len(some)))
            transaction.execute(f"DELETE FROM {NODE_RESULTS} WHERE node_id IN ({marks})", some)
        transaction.append("ledger", NODE_RESULTS.name, pa.Table.from_pylist(rows, schema=NODE_RESULTS.columns))


def broken_nodes(warehouse: Warehouse, known: set[str]) -> list[str]:
    """Those of the models and tests ``known`` to the project whose latest result is a failure, sorted."""
    warehouse.ensure_tables([NODE_RESULTS])
    marks = ", ".join(f"'{status}'" for status in _BROKEN)
    found = warehouse.query(f"SELECT node_id FROM {NODE_RESULTS} WHERE status IN ({marks}) ORDER BY node_id")
    return [node for node in found.column(0).to_pylist() if node in known]
