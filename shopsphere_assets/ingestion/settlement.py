"""Settles the quarantine: which of its entries still speak of what stands at the source.

An entry is open until a newer version of its row was read, good or bad, or the row was found to be gone from the
source. What a person has settled stays settled while the row is read again as it was, and is superseded or deleted
like an open entry. Settled entries stay, with the reason; one that is read again after it was superseded or deleted
is open again. Runs within the transaction that loads the batch.

Does not belong here: what is wrong with a row (``validate``), and which rows are gone (``reconcile``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import polars as pl

from resources.warehouse import TableDefinition, Transaction
from resources.warehouse.system_tables import QUARANTINE_ROWS
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.decisions import STANDING, carry_out, id_lists
from shopsphere_assets.ingestion.lake import LandedBatch
from shopsphere_assets.ingestion.raw_table import RawTable

SUPERSEDED = "superseded"
DELETED = "deleted at the source"

_ID = "quarantine_id"


def settle(
    transaction: Transaction,
    table: RawTable,
    landed: LandedBatch,
    *,
    batch_id: str,
    order_by: str | None,
    at: datetime,
    quarantine: TableDefinition = QUARANTINE_ROWS,
) -> None:
    """Settle and reopen entries of ``table`` by what a batch brought, which is in the quarantine already.

    ``order_by``: as the batch was merged: a version whose cursor is lower than the entry's does not settle it.
    ``quarantine``: the table of the entries.
    Costs two small questions where no entry but the batch's own stands and none was ever settled.
    """
    decided = carry_out(transaction, landed.decisions, at, quarantine)
    where, own = "WHERE source = $1 AND table_name = $2", [table.source, table.name]
    if landed.settled:
        gone_entries = pl.read_parquet(landed.settled).get_column(_ID)
        settle_entries(transaction, gone_entries.to_list(), DELETED, at, quarantine)
    settled = transaction.query(f"SELECT 1 FROM {quarantine} {where} AND NOT {STANDING} LIMIT 1", own)
    standing = f"SELECT {_ID}, row_key, changed_at FROM {quarantine} {where} AND {STANDING}"
    # Only what comes in the order of changes can bring a row's bad version and then a good one.
    others, batch = (" AND batch_id <> $3", [batch_id]) if order_by is not None else ("", [])
    found = transaction.query(f"{standing} AND row_key <> ''{others}", [*own, *batch])
    if not (settled.num_rows or found.num_rows):
        return
    read_again = _entries(landed.quarantined)
    if settled.num_rows:
        for ids in id_lists(read_again.get_column(_ID)):
            transaction.execute(
                f"UPDATE {quarantine} SET settled_at = NULL, settlement = NULL"
                f" WHERE NOT {STANDING} AND {_ID} IN ({ids})"
            )
    entries = pl.DataFrame(found).with_columns(pl.col("changed_at").cast(pl.Datetime("us", "UTC")))
    # What the batch takes in is another version of its own entries, too.
    entries = entries.filter(~pl.col(_ID).is_in(pl.Series(decided, dtype=pl.String).implode()))
    earlier = entries.join(read_again, on=_ID, how="anti")
    superseded = _superseded(table, entries if order_by is None else earlier, read_again, landed, order_by)
    superseded |= set(earlier.join(read_again, on="row_key", how="semi").get_column(_ID))
    settle_entries(transaction, superseded, SUPERSEDED, at, quarantine)
    # A person who takes a decision back withdraws the row from raw; at the source it stands.
    if landed.deleted and not decided:
        gone = _with_same_key(table, entries, [landed.deleted])
        settle_entries(transaction, set(gone.get_column(_ID)) - superseded, DELETED, at, quarantine)


def settle_entries(
    transaction: Transaction,
    ids: Collection[str],
    settlement: str,
    at: datetime,
    quarantine: TableDefinition = QUARANTINE_ROWS,
) -> None:
    """Settle those among these entries that stand."""
    for part in id_lists(pl.Series(_ID, sorted(ids), dtype=pl.String)):
        transaction.execute(
            f"UPDATE {quarantine} SET settled_at = $1, settlement = $2 WHERE {STANDING} AND {_ID} IN ({part})",
            [at, settlement],
        )


def _superseded(
    table: RawTable, entries: pl.DataFrame, read_again: pl.DataFrame, landed: LandedBatch, order_by: str | None
) -> set[str]:
    """The entries whose row came in a good version, unless their own is the newer one."""
    good = _with_same_key(table, entries, landed.parts, table.cursor)
    changed_at, cursor = pl.col("changed_at"), pl.col(table.cursor)
    if order_by is not None:
        return set(good.filter((cursor >= changed_at).fill_null(True)).get_column(_ID))
    # An entry of this very batch may be the later of the two versions.
    is_own = pl.col(_ID).is_in(read_again.get_column(_ID).implode())
    return set(good.filter(~is_own | (cursor > changed_at).fill_null(False)).get_column(_ID))


def _with_same_key(table: RawTable, entries: pl.DataFrame, files: list[Path], *columns: str) -> pl.DataFrame:
    """The entries whose key is in the files, with the files' ``columns``; the files are read piece by piece."""
    if not files or entries.is_empty():
        return pl.DataFrame(schema={**entries.schema, **{name: table.column_types[name] for name in columns}})
    rows = pl.scan_parquet(files).select(*dict.fromkeys((*table.key, *columns)))
    if len(table.key) == 1:
        [key] = table.key
        typed, _ = coerce(entries.select(pl.col("row_key").alias(key)), {key: table.column_types[key]})
        # Under a name of its own: the key may be one of the columns, too.
        sought = entries.with_columns(typed.get_column(key).alias("_key")).lazy()
        matched = sought.join(rows.with_columns(pl.col(key).alias("_key")), on="_key", how="inner")
    else:
        text = pl.concat_str([pl.col(name).cast(pl.String) for name in table.key], separator="|")
        matched = entries.lazy().join(rows.with_columns(text.alias("row_key")), on="row_key", how="inner")
    return matched.select(*entries.columns, *columns).collect(engine="streaming")


def _entries(file: Path | None) -> pl.DataFrame:
    if file is None:
        return pl.DataFrame(schema={_ID: pl.String, "row_key": pl.String})
    return pl.read_parquet(file, columns=[_ID, "row_key"]).unique(_ID)
