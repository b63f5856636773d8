"""The lake: every landed batch as immutable Parquet files with a manifest.

A batch is written under a temporary name and renamed when it is whole, so that a folder with a batch's name
is a whole batch. Layout: ``<source>/<table>/<batch id>/part-00000.parquet … quarantine.parquet deleted.parquet
_manifest.json``; what has no rows has no file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import PermanentError, TransientError
from resources.warehouse.system_tables import QUARANTINE_ROWS
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, LOADED_AT, RawTable
from shopsphere_assets.ingestion.validate import Divided

_TEMPORARY = ".landing-"
# Loading begins with the first part, while the others are still being read.
_ROWS_PER_PART = 500_000
_MANIFEST = "_manifest.json"
_QUARANTINE = "quarantine.parquet"
_DELETED = "deleted.parquet"
_MOMENT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class LandedBatch:
    """A batch in the lake: its folder and what is in it.

    ``parts``: the Parquet files of its valid rows. ``quarantined``: the file of its quarantined rows, shaped as
    ``quarantine.rows``. ``deleted``: the file of the keys that are gone from the source.
    """

    folder: Path
    parts: list[Path]
    quarantined: Path | None
    deleted: Path | None
    rows_valid: int
    rows_quarantined: int
    bytes_written: int


class BatchWriter:
    """Writes one batch; nothing is visible in the lake before :meth:`commit`.

    Memory holds one chunk, however large the batch. ``origin`` is kept in the manifest: how the batch came about,
    for whoever loads it from the lake again.
    """

    def __init__(
        self,
        lake: Path,
        table: RawTable,
        batch_id: str,
        loaded_at: datetime,
        origin: Mapping[str, str | None] | None = None,
    ) -> None:
        self._table = table
        self._batch_id = batch_id
        self._loaded_at = loaded_at
        self._origin = dict(origin or {})
        self._folder = lake / table.source / table.name / batch_id
        self._schema = table.definition.columns
        self._attempts = 0
        self._begin()

    def _begin(self) -> None:
        self._attempts += 1
        self._temporary = self._folder.with_name(f"{_TEMPORARY}{self._batch_id}.{self._attempts}")
        self._files: dict[str, pq.ParquetWriter] = {}
        self._written: list[Path] = []
        self.parts: list[Path] = []
        """The files of valid rows that are complete, in order; still under their temporary name."""
        self._rows_in_part = 0
        self.rows_valid = 0
        self.rows_quarantined = 0
        self.rows_deleted = 0

    def restart(self) -> None:
        """Forget what was written so far; its files stay until the end, as they may be being loaded."""
        self._drop_open_files()
        self._begin()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not (self.rows_valid or self.rows_quarantined or self.rows_deleted)

    def write(self, divided: Divided) -> None:
        """Add a validated chunk. Raises :class:`PlatformError` where the lake cannot be written."""
        with self._writing():
            if divided.valid.height:
                part = f"part-{len(self.parts):05d}.parquet"
                self._append(part, self._stamped(divided.valid), self._schema)
                self.rows_valid += divided.valid.height
                self._rows_in_part += divided.valid.height
                if self._rows_in_part >= _ROWS_PER_PART:
                    self._finish_part()
            if divided.quarantined.height:
                entries = divided.quarantined.with_columns(
                    batch_id=pl.lit(self._batch_id),
                    source=pl.lit(self._table.source),
                    table_name=pl.lit(self._table.name),
                    quarantined_at=pl.lit(self._loaded_at).cast(_MOMENT),
                    settled_at=pl.lit(None, dtype=_MOMENT),
                    settlement=pl.lit(None, dtype=pl.String),
                )
                self._append(_QUARANTINE, entries, QUARANTINE_ROWS.columns)
                self.rows_quarantined += entries.height

    def delete(self, keys: pl.DataFrame) -> None:
        """Add keys that are gone from the source, in the contract's types."""
        if keys.height:
            with self._writing():
                columns = [self._schema.field(name) for name in self._table.key]
                self._append(_DELETED, keys, pa.schema(columns))
                self.rows_deleted += keys.height

    def finish(self) -> None:
        """Complete all files; after this there is nothing to do but to commit."""
        with self._writing():
            self._finish_part()
            for name in list(self._files):
                self._close(name)

    def commit(self) -> LandedBatch:
        """Make the batch visible under its name. Raises :class:`PlatformError` where it cannot be written."""
        self.finish()
        with self._writing():
            self._temporary.mkdir(parents=True, exist_ok=True)
            sizes = {file.name: file.stat().st_size for file in self._written}
            manifest = {
                "source": self._table.source,
                "table": self._table.name,
                "batch_id": self._batch_id,
                "loaded_at": self._loaded_at.isoformat(),
                "rows_valid": self.rows_valid,
                "rows_quarantined": self.rows_quarantined,
                "rows_deleted": self.rows_deleted,
                "files": sizes,
                **self._origin,
            }
            (self._temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2))
            _sync(self._temporary / _MANIFEST)
            _sync(self._temporary)
            self._temporary.rename(self._folder)
            _sync(self._folder.parent)
        return LandedBatch(
            folder=self._folder,
            parts=[self._folder / part.name for part in self.parts],
            quarantined=self._folder / _QUARANTINE if self.rows_quarantined else None,
            deleted=self._folder / _DELETED if self.rows_deleted else None,
            rows_valid=self.rows_valid,
            rows_quarantined=self.rows_quarantined,
            bytes_written=sum(sizes.values()),
        )

    def abort(self) -> None:
        """Remove what was written and not committed."""
        self._drop_open_files()
        for folder in self._folder.parent.glob(f"{_TEMPORARY}{self._batch_id}.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _drop_open_files(self) -> None:
        for writer in self._files.values():
            # The file is removed with its folder; what stopped the batch is already being raised.
            with suppress(OSError, pa.ArrowException):
                writer.close()
        self._files = {}

    def _stamped(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(
            pl.lit(self._batch_id).alias(BATCH_ID),
            pl.lit(self._loaded_at).cast(_MOMENT).alias(LOADED_AT),
            pl.lit(None, dtype=_MOMENT).alias(DELETED_AT),
        )

    def _append(self, name: str, rows: pl.DataFrame, schema: pa.Schema) -> None:
        if name not in self._files:
            self._temporary.mkdir(parents=True, exist_ok=True)
            self._files[name] = pq.ParquetWriter(
                self._temporary / name, schema, compression="zstd", compression_level=1
            )
        # Not by polars, whose error on a full disk is no OSError.
        self._files[name].write_table(rows.select(schema.names).to_arrow().cast(schema))

    def _finish_part(self) -> None:
        if self._rows_in_part:
            self._rows_in_part = 0
            self.parts.append(self._close(f"part-{len(self.parts):05d}.parquet"))

    def _close(self, name: str) -> Path:
        self._files.pop(name).close()
        file = self._temporary / name
        _sync(file)
        self._written.append(file)
        return file

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unwritable(error, self._folder) from error


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
