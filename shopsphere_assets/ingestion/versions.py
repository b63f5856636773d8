"""The versions that rows had: what a batch brought of a raw table that keeps them.

A version is known by its key and its cursor: read again, it is the same one. All of a batch count, also those
that a later one in the same batch replaced. What dimensions make of them is the business of dbt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from resources.warehouse import Rows, TableDefinition, Transaction
from shopsphere_assets.ingestion.raw_table import DELETED_AT


def keep_versions(
    transaction: Transaction,
    versions: TableDefinition,
    key: Sequence[str],
    *,
    rows: Rows | None,
    deleted: Rows | None,
    constants: Mapping[str, Any] | None = None,
    deleted_at: datetime,
) -> None:
    """Add the landed versions ``rows`` to those that are kept, and end those of the ``deleted`` rows.

    ``versions``: the table that keeps them. ``key``: the key of a row, without the cursor. ``constants``: values of
    the columns that the rows lack. A row that comes back without a change, its cursor as it was, counts as never
    gone.
    """
    if rows is not None:
        transaction.merge(versions, rows, constants=constants)
    if deleted is not None:
        by_row = replace(versions, key=tuple(key))
        transaction.mark(by_row, deleted, {DELETED_AT: deleted_at}, unless=DELETED_AT)
