"""The lake: every landed batch as immutable Parquet files with a manifest.

A batch is written under a temporary name and renamed when it is whole, so that a folder with a batch's name
is a whole batch. Layout: ``<source>/<table>/<batch id>/part-00000.parquet … quarantine.parquet _manifest.json``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import PermanentError, TransientError
from shopsphere_assets.ingestion.raw_table import BATCH_ID, LOADED_AT, RawTable
from shopsphere_assets.ingestion.validate import QUARANTINE_SCHEMA, Divided

_TEMPORARY = ".landing-"
_ROWS_PER_PART = 2_000_000
_MANIFEST = "_manifest.json"
_QUARANTINE = "quarantine.parquet"


@dataclass(frozen=True)
class LandedBatch:
    """A batch in the lake: its folder, the Parquet files of its valid rows, and its quarantined rows."""

    folder: Path
    parts: list[Path]
    quarantined: pl.DataFrame
    rows_valid: int
    rows_quarantined: int
    bytes_written: int


class BatchWriter:
    """Writes one batch; nothing is visible in the lake before :meth:`commit`."""

    def __init__(self, lake: Path, table: RawTable, batch_id: str, loaded_at: datetime) -> None:
        self._table = table
        self._batch_id = batch_id
        self._loaded_at = loaded_at
        self._folder = lake / table.source / table.name / batch_id
        self._temporary = self._folder.with_name(_TEMPORARY + batch_id)
        self._schema = table.definition.columns
        self._begin()

    def _begin(self) -> None:
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_part = 0
        self._quarantined: list[pl.DataFrame] = []
        self.rows_valid = 0
        self.rows_quarantined = 0

    def restart(self) -> None:
        """Forget what was written so far."""
        self.abort()
        self._begin()

    def write(self, divided: Divided) -> None:
        """Add a validated chunk. Raises :class:`PlatformError` where the lake cannot be written."""
        try:
            if divided.valid.height:
                self._write_valid(divided.valid)
        except OSError as error:
            raise _unwritable(error, self._folder) from error
        if divided.quarantined.height:
            self._quarantined.append(divided.quarantined)
            self.rows_quarantined += divided.quarantined.height

    def _write_valid(self, rows: pl.DataFrame) -> None:
        stamped = rows.with_columns(
            pl.lit(self._batch_id).alias(BATCH_ID),
            pl.lit(self._loaded_at).cast(pl.Datetime("us", "UTC")).alias(LOADED_AT),
        )
        arrow = stamped.select(self._schema.names).to_arrow().cast(self._schema)
        if self._writer is not None and self._rows_in_part >= _ROWS_PER_PART:
            self._close_part()
        if self._writer is None:
            self._temporary.mkdir(parents=True, exist_ok=True)
            part = self._temporary / f"part-{len(self._parts):05d}.parquet"
            self._writer = pq.ParquetWriter(part, self._schema, compression="zstd", compression_level=1)
            self._parts.append(part)
            self._rows_in_part = 0
        self._writer.write_table(arrow)
        self._rows_in_part += arrow.num_rows
        self.rows_valid += arrow.num_rows

    def _close_part(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def commit(self) -> LandedBatch:
        """Make the batch visible under its name. Raises :class:`PlatformError` where it cannot be written."""
        empty = pl.DataFrame(schema=QUARANTINE_SCHEMA)
        quarantined = pl.concat([empty, *self._quarantined]).unique("quarantine_id", keep="last", maintain_order=True)
        try:
            self._close_part()
            self._temporary.mkdir(parents=True, exist_ok=True)
            if quarantined.height:
                # Not by polars, whose error on a full disk is no OSError.
                pq.write_table(quarantined.to_arrow(), self._temporary / _QUARANTINE, compression="zstd")
            files = sorted(self._temporary.iterdir())
            sizes = {file.name: file.stat().st_size for file in files}
            manifest = {
                "source": self._table.source,
                "table": self._table.name,
                "batch_id": self._batch_id,
                "loaded_at": self._loaded_at.isoformat(),
                "rows_valid": self.rows_valid,
                "rows_quarantined": self.rows_quarantined,
                "files": sizes,
            }
            (self._temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2))
            for file in (*files, self._temporary / _MANIFEST, self._temporary):
                _sync(file)
            self._temporary.rename(self._folder)
            _sync(self._folder.parent)
        except OSError as error:
            raise _unwritable(error, self._folder) from error
        return LandedBatch(
            folder=self._folder,
            parts=[self._folder / part.name for part in self._parts],
            quarantined=quarantined,
            rows_valid=self.rows_valid,
            rows_quarantined=self.rows_quarantined,
            bytes_written=sum(sizes.values()),
        )

    def abort(self) -> None:
        """Remove what was written of a batch that is not to be."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            # The file is removed with its folder; what stopped the batch is already being raised.
            with suppress(OSError, pa.ArrowException):
                writer.close()
        shutil.rmtree(self._temporary, ignore_errors=True)


def remove_unfinished(lake: Path, table: RawTable) -> int:
    """Remove what killed processes left of unfinished batches of ``table``; returns how many there were."""
    left = list((lake / table.source / table.name).glob(_TEMPORARY + "*"))
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def remove_orphans(lake: Path, loaded: set[str], older_than: datetime) -> list[str]:
    """Remove landed batches that never got a ledger entry, and unfinished ones, begun before ``older_than``.

    ``loaded``: the folders of the batches in the ledger, relative to the lake. Their rows have been read again
    by a later batch, which is in the ledger. Returns the removed folders, relative to the lake.
    """
    removed = []
    for folder in sorted(lake.glob("*/*/*")):
        name = str(folder.relative_to(lake))
        begun = datetime.fromtimestamp(folder.stat().st_mtime, older_than.tzinfo)
        if folder.is_dir() and name not in loaded and begun < older_than:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(name)
    return removed


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError, folder: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError(
            f"no space left in the lake: {error.strerror}",
            where=str(folder),
            remedy="free disk space, or move the lake with SHOPSPHERE_LAKE_URL; the next run continues by itself",
        )
    return PermanentError(
        f"the lake cannot be written: {error.strerror or error}",
        where=str(folder),
        remedy="give the platform's user the right to write there, or move the lake with SHOPSPHERE_LAKE_URL",
    )
