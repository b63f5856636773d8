"""The lake: every landed batch as immutable Parquet files with a manifest.

A batch is written under a temporary name and renamed when it is whole, so that a folder with a batch's name
is a whole batch. The process that writes it holds a lock on the temporary folder, which the kernel drops with the
process: so what a dead one left is told from what another is just writing.

Layout: ``<source>/<table>/<batch id>/part-00000.parquet … quarantine.parquet corrections.parquet deleted.parquet
settled.parquet decisions.parquet _manifest.json``; what has no rows has no file. Reading batches back is in
``stored_batches``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError, TransientError
from resources.warehouse.system_tables import CORRECTIONS, DECISIONS, QUARANTINE_ROWS
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import Divided

_TEMPORARY = ".landing-"
# Loading begins with the first part, while the others are still being read.
_ROWS_PER_PART = 500_000
MANIFEST = "_manifest.json"
QUARANTINE = "quarantine.parquet"
DELETED = "deleted.parquet"
SETTLED = "settled.parquet"
DECIDED = "decisions.parquet"
CORRECTED = "corrections.parquet"
_MOMENT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class LandedBatch:
    """A batch in the lake: its folder and what is in it.

    ``parts``: the Parquet files of its valid rows. ``quarantined``: the file of its quarantined rows, shaped as
    ``quarantine.rows``. ``deleted``: the file of the keys that are gone from the source. ``settled``: the file of the
    identifiers of quarantined rows without a key that are gone from the source. ``decisions``: the file of what a
    person decided on quarantined rows, shaped as ``quarantine.decisions``. ``corrections``: the file of what was
    corrected in its rows or is suggested, shaped as ``quality.corrections``.
    """

    folder: Path
    parts: list[Path]
    quarantined: Path | None
    deleted: Path | None
    rows_valid: int
    rows_quarantined: int
    bytes_written: int
    settled: Path | None = None
    decisions: Path | None = None
    corrections: Path | None = None


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
        self._schema = table.landed_columns
        self._attempts = 0
        self._claims: list[int] = []
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
        self.rows_corrected = 0
        self.rows_deleted = 0

    def restart(self) -> None:
        """Forget what was written so far; its files stay until the end, as they may be being loaded."""
        self._drop_open_files()
        self._begin()

    @property
    def folder(self) -> Path:
        """Where the batch will be once it is committed."""
        return self._folder

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not (self.rows_valid or self.rows_quarantined or self.rows_deleted)

    def write(self, divided: Divided) -> pa.Table:
        """Add a validated chunk; returns its valid rows as they are written.

        Raises :class:`PlatformError` where the lake cannot be written.
        """
        valid = _as_arrow(divided.valid, self._schema)
        with self._writing():
            if divided.valid.height:
                part = f"part-{len(self.parts):05d}.parquet"
                self._append(part, valid, self._schema)
                self.rows_valid += divided.valid.height
                self._rows_in_part += divided.valid.height
                if self._rows_in_part >= _ROWS_PER_PART:
                    self.finish_part()
            if divided.quarantined.height:
                entries = divided.quarantined.with_columns(
                    batch_id=pl.lit(self._batch_id),
                    source=pl.lit(self._table.source),
                    table_name=pl.lit(self._table.name),
                    quarantined_at=pl.lit(self._loaded_at).cast(_MOMENT),
                    settled_at=pl.lit(None, dtype=_MOMENT),
                    settlement=pl.lit(None, dtype=pl.String),
                )
                self._append(QUARANTINE, _as_arrow(entries, QUARANTINE_ROWS.columns), QUARANTINE_ROWS.columns)
                self.rows_quarantined += entries.height
            if divided.corrections.height:
                corrections = divided.corrections.with_columns(
                    batch_id=pl.lit(self._batch_id),
                    source=pl.lit(self._table.source),
                    table_name=pl.lit(self._table.name),
                    corrected_at=pl.lit(self._loaded_at).cast(_MOMENT),
                )
                self._append(CORRECTED, _as_arrow(corrections, CORRECTIONS.columns), CORRECTIONS.columns)
                self.rows_corrected += divided.rows_corrected
        return valid

    def delete(self, keys: pl.DataFrame) -> None:
        """Add keys that are gone from the source, in the contract's types."""
        if keys.height:
            with self._writing():
                columns = pa.schema([self._schema.field(name) for name in self._table.key])
                self._append(DELETED, _as_arrow(keys, columns), columns)
                self.rows_deleted += keys.height

    def settle(self, ids: Collection[str]) -> None:
        """Add identifiers of quarantined rows without a key that are gone from the source."""
        if ids:
            with self._writing():
                column = pa.schema([QUARANTINE_ROWS.columns.field("quarantine_id")])
                self._append(SETTLED, pa.table([sorted(ids)], schema=column), column)

    def decide(self, decisions: pa.Table) -> None:
        """Add what a person decided on quarantined rows."""
        if decisions.num_rows:
            with self._writing():
                self._append(DECIDED, decisions, DECISIONS.columns)

    def finish_part(self) -> None:
        """Complete the file of valid rows that is being written, if there is one."""
        if self._rows_in_part:
            with self._writing():
                self._rows_in_part = 0
                self.parts.append(self._close(f"part-{len(self.parts):05d}.parquet"))

    def finish(self) -> None:
        """Complete all files; after this there is nothing to do but to commit."""
        self.finish_part()
        with self._writing():
            for name in list(self._files):
                self._close(name)

    def commit(self, record: Mapping[str, Any] | None = None) -> LandedBatch:
        """Make the batch visible under its name. Raises :class:`PlatformError` where it cannot be written.

        ``record``: kept in the manifest beside the origin.
        """
        self.finish()
        with self._writing():
            self._make_folder()
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
                **(record or {}),
            }
            (self._temporary / MANIFEST).write_text(json.dumps(manifest, indent=2))
            _sync(self._temporary / MANIFEST)
            _sync(self._temporary)
            reached(CommitPoint.MANIFEST)
            self._temporary.rename(self._folder)
            _sync(self._folder.parent)
            self._give_up_claims()
            reached(CommitPoint.RENAMED)
        return LandedBatch(
            folder=self._folder,
            parts=[self._folder / part.name for part in self.parts],
            quarantined=self._folder / QUARANTINE if self.rows_quarantined else None,
            deleted=self._folder / DELETED if self.rows_deleted else None,
            rows_valid=self.rows_valid,
            rows_quarantined=self.rows_quarantined,
            bytes_written=sum(sizes.values()),
            settled=self._folder / SETTLED if SETTLED in sizes else None,
            decisions=self._folder / DECIDED if DECIDED in sizes else None,
            corrections=self._folder / CORRECTED if CORRECTED in sizes else None,
        )

    def abort(self) -> None:
        """Remove what was written and not committed."""
        self._drop_open_files()
        for folder in self._folder.parent.glob(f"{_TEMPORARY}{self._batch_id}.*"):
            shutil.rmtree(folder, ignore_errors=True)
        self._give_up_claims()

    def _make_folder(self) -> None:
        """Make the temporary folder, if it is not there, and claim it."""
        while not self._temporary.is_dir():
            self._temporary.mkdir(parents=True, exist_ok=True)
            # Who finds it before it is claimed takes it for left behind and removes it.
            with suppress(FileNotFoundError):
                self._claims.append(os.open(self._temporary, os.O_RDONLY))
                fcntl.flock(self._claims[-1], fcntl.LOCK_SH)

    def _give_up_claims(self) -> None:
        while self._claims:
            os.close(self._claims.pop())

    def _drop_open_files(self) -> None:
        for writer in self._files.values():
            # The file is removed with its folder; what stopped the batch is already being raised.
            with suppress(OSError, pa.ArrowException):
                writer.close()
        self._files = {}

    def _append(self, name: str, rows: pa.Table, schema: pa.Schema) -> None:
        if name not in self._files:
            self._make_folder()
            self._files[name] = pq.ParquetWriter(
                self._temporary / name,
                schema,
                compression="zstd",
                compression_level=1,
                # So that a damaged file is not taken for another sound one.
                write_page_checksum=True,
                # Building a dictionary of values that hardly repeat takes half of the time to write a file.
                use_dictionary=[n for n in self._table.enumerated_columns if n in schema.names],
                # Numbers as differences and amounts as numbers: a quarter smaller and a third faster.
                column_encoding={
                    column.name: "DELTA_BINARY_PACKED"
                    for column in schema
                    if pa.types.is_integer(column.type) or pa.types.is_timestamp(column.type)
                },
                store_decimal_as_integer=True,
                # Who looks for rows in files looks by these.
                write_statistics=[n for n in (*self._table.key, self._table.cursor) if n in schema.names],
            )
        # Not by polars, whose error on a full disk is no OSError.
        self._files[name].write_table(rows)

    def _close(self, name: str) -> Path:
        self._files.pop(name).close()
        file = self._temporary / name
        _sync(file)
        self._written.append(file)
        reached(CommitPoint.LANDED)
        return file

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unwritable(error, self._folder) from error


def _as_arrow(rows: pl.DataFrame, columns: pa.Schema) -> pa.Table:
    # String views are taken over as they are, and copied only once.
    return rows.select(columns.names).to_arrow(compat_level=pl.CompatLevel.newest()).cast(columns)


def remove_unfinished(lake: Path, table: RawTable) -> int:
    """Remove what killed processes left of unfinished batches of ``table``; returns how many there were.

    One that a living process is writing stays.
    """
    folders = (lake / table.source / table.name).glob(_TEMPORARY + "*")
    return sum(_remove_unclaimed(folder) for folder in folders)


def _remove_unclaimed(folder: Path) -> bool:
    """Remove the unfinished batch unless its writer lives; whether it was removed."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


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
