"""The cause that a failed blocking check is: with the first failing row and the rule that most rows broke."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resources.notify.message import one_line
from resources.warehouse import Warehouse
from resources.warehouse.system_tables import BATCHES, QUARANTINE_ROWS
from shopsphere_assets.alerts.cause import (
    ASSET_PAGE,
    COLUMN,
    FIRST_ROW,
    OTHER_RULES,
    RULE,
    RUN_PAGE,
    SEEN,
    SQL,
    STEWARD_PAGE,
    WHAT_TO_DO,
    Cause,
    Pages,
)
from shopsphere_assets.alerts.masking import shown, shown_key
from shopsphere_assets.ingestion.raw_table import RawTable

_COUNTED_ROWS = 5_000
_NAMED_RULES = 4


@dataclass(frozen=True)
class FailedCheck:
    """A blocking check whose latest evaluation failed. ``metadata``: what it measured."""

    asset: tuple[str, ...]
    name: str
    run_id: str
    failed_at: datetime
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def check_cause(warehouse: Warehouse, check: FailedCheck, table: RawTable | None, pages: Pages) -> Cause:
    """The cause that ``check`` is; ``table``: the raw table that it judged, if it did."""
    details = {
        SEEN: ", ".join(f"{name} {value}" for name, value in check.metadata.items()),
        RULE: f"{check.name}: {check.description}".removesuffix(": "),
        RUN_PAGE: pages.run(check.run_id),
        ASSET_PAGE: pages.asset(*check.asset),
        WHAT_TO_DO: "what is made of this asset waits; repair it at the source or in the model, then run it again",
    }
    title = f"{'/'.join(check.asset)}: the check {check.name} failed"
    if table is not None and check.name == "quarantine_share":
        title = f"{table.label}: too many rows broke their contract"
        details |= _quarantined(warehouse, table, pages)
    if table is not None and check.name == "unique_key":
        details |= _repeated(warehouse, table)
    return Cause(f"check/{'/'.join(check.asset)}/{check.name}", title, "error", check.failed_at, details)


def _quarantined(warehouse: Warehouse, table: RawTable, pages: Pages) -> dict[str, str]:
    rows = warehouse.query(
        f"SELECT batch_id, row_key, reasons, position FROM {QUARANTINE_ROWS} WHERE batch_id = ("
        f"SELECT batch_id FROM {BATCHES} WHERE source = $1 AND table_name = $2 AND rows_quarantined > 0"
        " ORDER BY sequence DESC NULLS LAST LIMIT 1) AND source = $1 AND table_name = $2"
        f" ORDER BY row_key, position LIMIT {_COUNTED_ROWS}",
        [table.source, table.name],
    ).to_pylist()
    if not rows:
        return {}
    reasons = [json.loads(row["reasons"]) for row in rows]
    counts = Counter(reason["rule"] for of_row in reasons for reason in of_row)
    most, _ = counts.most_common(1)[0]
    # The first row that shows what is wrong with most.
    first, reason = next(
        (row, reason) for row, of_row in zip(rows, reasons, strict=True) for reason in of_row if reason["rule"] == most
    )
    named = [f"{rule} ({count:,} rows)" for rule, count in counts.most_common(_NAMED_RULES)]
    more = len(counts) - len(named)
    column = reason["column"]
    return {
        FIRST_ROW: shown_key(table, first["row_key"], first["position"]),
        COLUMN: f"{column} = {shown(table, column, reason['value'])}" if column else "",
        RULE: most,
        OTHER_RULES: ", ".join([*named, *([f"and {more} more"] if more else [])]),
        SQL: f"select * from {QUARANTINE_ROWS} where source = '{table.source}' and table_name = '{table.name}'"
        f" and batch_id = '{first['batch_id']}'",
        STEWARD_PAGE: f"{pages.steward}/?table={table.source}/{table.name}",
        WHAT_TO_DO: "repair the rows at the source, or fix or accept them in the steward's page; what is made of the "
        "table waits until then",
    }


def _repeated(warehouse: Warehouse, table: RawTable) -> dict[str, str]:
    key = ", ".join(f'"{column}"' for column in table.key)
    query = f"SELECT {key}, count(*) AS rows FROM {table.definition} GROUP BY {key} HAVING count(*) > 1"
    rows = warehouse.query(f"{query} ORDER BY {key} LIMIT 1").to_pylist()
    if not rows:
        return {}
    first = ", ".join(f"{column} {shown(table, column, one_line(str(rows[0][column])))}" for column in table.key)
    return {FIRST_ROW: f"{first} ({rows[0]['rows']} rows)", SQL: query.replace('"', "")}
