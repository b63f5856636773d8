"""What a person decided on quarantined rows, as the batch that carries it out keeps it.

Belongs here: the decisions' rows in the lake and in ``quarantine.decisions``, and what they make of the entries. Does
not belong here: who may decide what and when (``shopsphere_assets.quarantine``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import polars as pl
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.warehouse import ParquetRows, TableDefinition, Transaction
from resources.warehouse.system_tables import DECISIONS, QUARANTINE_ROWS

Action = Literal["edited", "readmitted", "accepted", "excluded", "reopened"]

TAKEN_IN = ("readmitted", "accepted")
"""What brings a row into raw."""

SETTLING = (*TAKEN_IN, "excluded")
"""What settles an entry: as its settlement it stays in force until another version of the row is read."""

STANDING = f"(settled_at IS NULL OR settlement IN ({', '.join(repr(action) for action in SETTLING)}))"
"""SQL for the entries whose row stands at its source as it was set aside, as far as is known."""

_IDS_AT_ONCE = 1000


@dataclass(frozen=True)
class Decision:
    """A decision on one quarantined row; ``payload_after`` is None where the row stayed as it was."""

    quarantine_id: str
    action: Action
    decided_by: str
    reason: str | None
    payload_before: str
    payload_after: str | None = None


def decision_rows(decisions: Sequence[Decision], batch_id: str, at: datetime) -> pa.Table:
    """``decisions`` as rows of ``quarantine.decisions``: carried out by the batch, committed at a moment."""
    rows = [
        {
            "decision_id": uuid4().hex,
            "quarantine_id": decision.quarantine_id,
            "action": decision.action,
            "decided_by": decision.decided_by,
            "decided_at": at,
            "reason": decision.reason,
            "payload_before": decision.payload_before,
            "payload_after": decision.payload_after,
            "batch_id": batch_id if decision.action in TAKEN_IN else None,
        }
        for decision in decisions
    ]
    return pa.Table.from_pylist(rows, schema=DECISIONS.columns)


def record_decisions(transaction: Transaction, landed: Path | None) -> None:
    """Add the decisions of a landed batch to ``quarantine.decisions``, unless they are there."""
    if landed is not None:
        transaction.add_missing(DECISIONS, ParquetRows([landed]))
        reached(CommitPoint.DECIDED)


def carry_out(
    transaction: Transaction, landed: Path | None, at: datetime, quarantine: TableDefinition = QUARANTINE_ROWS
) -> list[str]:
    """Settle and reopen the entries that a landed batch decides on; their identifiers."""
    if landed is None:
        return []
    decided = pl.read_parquet(landed, columns=["quarantine_id", "action"])
    for (action,), entries in decided.group_by("action"):
        if action == "edited":
            continue
        is_open = action == "reopened"
        for ids in id_lists(entries.get_column("quarantine_id")):
            transaction.execute(
                f"UPDATE {quarantine} SET settled_at = $1, settlement = $2 WHERE quarantine_id IN ({ids})",
                [None if is_open else at, None if is_open else action],
            )
    return decided.get_column("quarantine_id").to_list()


def id_lists(ids: pl.Series) -> list[str]:
    """SQL lists of the identifiers, which are hexadecimal numbers."""
    parts = ids.to_frame().iter_slices(_IDS_AT_ONCE)
    return [", ".join(f"'{i}'" for i in part.to_series()) for part in parts]
