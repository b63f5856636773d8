"""Reads landed batches back from the lake: which there are, in which order, and their rows.

Belongs here: manifests, whether a batch is whole, and its rows with what its manifest says of them. Does not belong
here: writing batches (``lake``), and what is made of them (``replay``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import PermanentError
from resources.warehouse import Rows
from resources.warehouse.rows import fits_without_loss
from shopsphere_assets.ingestion.lake import CORRECTED, DECIDED, DELETED, MANIFEST, QUARANTINE, SETTLED, LandedBatch
from shopsphere_assets.ingestion.raw_table import BATCH_ID, LOADED_AT, RawTable

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class StoredBatch:
    """A batch in the lake with what its manifest says of it.

    ``order_by``: as it was merged. ``follows``: the batch of the table that was committed before it.
    ``finished_at``: when it was committed. ``manifest``: all of it.
    """

    landed: LandedBatch
    batch_id: str
    loaded_at: datetime
    finished_at: datetime
    order_by: str | None
    follows: str | None
    manifest: Mapping[str, Any]


def read_batch(folder: Path) -> StoredBatch:
    """The batch in ``folder``. Raises :class:`PermanentError` where something of it is missing or was cut."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes: dict[str, int] = manifest["files"]
        stored = StoredBatch(
            landed=LandedBatch(
                folder=folder,
                parts=sorted(folder / name for name in sizes if name.startswith("part-")),
                quarantined=folder / QUARANTINE if QUARANTINE in sizes else None,
                deleted=folder / DELETED if DELETED in sizes else None,
                rows_valid=manifest["rows_valid"],
                rows_quarantined=manifest["rows_quarantined"],
                bytes_written=sum(sizes.values()),
                settled=folder / SETTLED if SETTLED in sizes else None,
                decisions=folder / DECIDED if DECIDED in sizes else None,
                corrections=folder / CORRECTED if CORRECTED in sizes else None,
            ),
            batch_id=manifest["batch_id"],
            loaded_at=datetime.fromisoformat(manifest["loaded_at"]),
            finished_at=datetime.fromisoformat(manifest["ledger"]["finished_at"]),
            order_by=manifest["order_by"],
            follows=manifest["follows"],
            manifest=manifest,
        )
    except FileNotFoundError as error:
        raise _damaged(folder, "the batch is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / MANIFEST, f"the manifest cannot be read: {type(error).__name__}: {error}") from error
    for name, size in sizes.items():
        _check_size(folder / name, size)
    return stored


def _check_size(file: Path, size: int) -> None:
    try:
        found = file.stat().st_size
    except OSError as error:
        raise _damaged(file, f"a landed file is missing: {error.strerror}") from error
    if found != size:
        raise _damaged(file, f"a landed file has {found:,} bytes instead of {size:,}")


def _damaged(where: Path, what: str) -> PermanentError:
    return PermanentError(
        what,
        where=str(where),
        remedy="restore it from a backup of the lake; without one the lake alone no longer holds this table: read it "
        "again from its source with `shopsphere backfill`",
    )


def batches_by_manifest(lake: Path, table: RawTable) -> list[StoredBatch]:
    """The batches of ``table`` in the order of their commits, told by their manifests alone.

    A batch that none follows was never committed, unless it is the last. Of several that could be the last the one
    that landed last is taken. Raises :class:`PermanentError` where one is missing or damaged.
    """
    folder = lake / table.source / table.name
    found = [read_batch(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()]
    if not found:
        return []
    known = {batch.batch_id: batch for batch in found}
    followed = {batch.follows for batch in found}
    batch: StoredBatch | None = max(
        (batch for batch in found if batch.batch_id not in followed), key=lambda batch: batch.finished_at
    )
    result: list[StoredBatch] = []
    while batch is not None:
        result.append(batch)
        if batch.follows is not None and batch.follows not in known:
            raise _damaged(folder / batch.follows, f"the batch is missing that was committed before {batch.batch_id}")
        batch = known[batch.follows] if batch.follows is not None else None
    return result[::-1]


def check_whole(file: Path) -> None:
    """Read ``file`` once. Raises :class:`PermanentError` where it is damaged."""
    for _ in _record_batches(file):
        pass


class StoredRows(Rows):
    """The valid rows of batches, one after the other, each with its batch and when that began.

    Raises :class:`PermanentError` where a file is damaged or holds what the contract's columns cannot.
    """

    def __init__(self, table: RawTable, batches: Sequence[StoredBatch]) -> None:
        self._batches = batches
        self._landed = table.landed_columns
        own = [table.definition.columns.field(name) for name in (BATCH_ID, LOADED_AT)]
        self.columns = pa.schema([*self._landed, *own])
        self.name = f"the lake's batches of {table.label}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See :meth:`Rows.batches`."""
        for stored in self._batches:
            rows = 0
            for part in stored.landed.parts:
                for found in _record_batches(part):
                    rows += found.num_rows
                    yield self._shaped(found, stored, part)
            if rows != stored.landed.rows_valid:
                what = f"the batch has {rows:,} rows instead of {stored.landed.rows_valid:,}"
                raise _damaged(stored.landed.folder, what)

    def _shaped(self, found: pa.RecordBatch, stored: StoredBatch, part: Path) -> pa.RecordBatch:
        arrays = []
        for column in self._landed:
            index = found.schema.get_field_index(column.name)
            if index < 0:
                # The contract did not have it yet.
                arrays.append(pa.nulls(found.num_rows, column.type))
                continue
            landed = found.column(index)
            if not fits_without_loss(landed.type, column.type):
                raise PermanentError(
                    f"column {column.name} was landed as {landed.type}; {column.type} cannot hold that exactly",
                    where=str(part),
                    remedy="give the column another name in the contract, or read the table again from its source",
                )
            arrays.append(landed.cast(column.type))
        for name, value in ((BATCH_ID, stored.batch_id), (LOADED_AT, stored.loaded_at)):
            arrays.append(pa.repeat(pa.scalar(value, self.columns.field(name).type), found.num_rows))
        return pa.RecordBatch.from_arrays(arrays, schema=self.columns)


def _record_batches(file: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield from parquet.iter_batches(batch_size=_ROWS_AT_ONCE)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, f"a landed file cannot be read: {error}") from error
