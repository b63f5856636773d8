"""Rows on their way into a table: do their columns fit without loss, and how Parquet files give theirs.

Shared by the engines so that all accept and refuse the same rows. How the rows get in is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import PermanentError
from resources.warehouse.base import Rows, TableDefinition

_UNITS = ("s", "ms", "us", "ns")
_ROWS_AT_ONCE = 10_000


class ParquetRows(Rows):
    """The rows of Parquet files, one file after the other. Columns that only some files have are null in the others.

    Raises :class:`PermanentError` where a file is missing or is no Parquet file.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = [Path(file) for file in files]
        self.columns = pa.unify_schemas([self._schema(file) for file in self._files], promote_options="permissive")
        self.name = ", ".join(str(file) for file in self._files)

    @staticmethod
    def _schema(file: Path) -> pa.Schema:
        try:
            return pq.read_schema(file)
        except FileNotFoundError as error:
            raise PermanentError(
                "a landed file is missing", where=str(file), remedy="read the batch from its source again"
            ) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise PermanentError(
                f"a landed file cannot be read as Parquet: {error}",
                where=str(file),
                remedy="remove the file and read the batch from its source again",
            ) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See :meth:`Rows.batches`."""
        for file in self._files:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=_ROWS_AT_ONCE):
                    yield _in_shape(batch, self.columns)


def _in_shape(batch: pa.RecordBatch, columns: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(columns):
        return batch
    names = set(batch.schema.names)
    arrays = [
        batch.column(c.name).cast(c.type) if c.name in names else pa.nulls(batch.num_rows, c.type) for c in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def is_text(dtype: pa.DataType) -> bool:
    """Whether the type holds text, in any of Arrow's layouts."""
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def fits_without_loss(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether every value of type ``found`` is also one of type ``wanted``."""
    if found == wanted or pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        return fits_without_loss(found.value_type, wanted)
    if is_text(wanted):
        return is_text(found)
    if pa.types.is_integer(wanted) and pa.types.is_integer(found):
        if pa.types.is_signed_integer(found) == pa.types.is_signed_integer(wanted):
            return bool(found.bit_width <= wanted.bit_width)
        return bool(pa.types.is_signed_integer(wanted) and found.bit_width < wanted.bit_width)
    if pa.types.is_decimal(wanted) and pa.types.is_decimal(found):
        return bool(found.scale <= wanted.scale and found.precision - found.scale <= wanted.precision - wanted.scale)
    if pa.types.is_timestamp(wanted) and pa.types.is_timestamp(found):
        # A moment without a zone is ambiguous, so it is not taken for one in UTC.
        same_kind = (found.tz is None) == (wanted.tz is None)
        return same_kind and _UNITS.index(found.unit) <= _UNITS.index(wanted.unit)
    if pa.types.is_floating(wanted) and pa.types.is_floating(found):
        return bool(found.bit_width <= wanted.bit_width)
    return False


def check_fit(table: TableDefinition, rows: Rows, key: Sequence[str]) -> None:
    """Raise :class:`PermanentError` where the table cannot hold the rows' columns exactly, or one of ``key`` lacks."""
    missing = [name for name in key if name not in rows.columns.names]
    if missing:
        raise PermanentError(
            f"the rows lack the key column {', '.join(missing)}",
            where=f"{rows.name}, for table {table}",
            remedy="map the key column in the source's description",
        )
    for column in table.columns:
        index = rows.columns.get_field_index(column.name)
        if index < 0:
            continue
        found = rows.columns.field(index).type
        if not fits_without_loss(found, column.type):
            raise PermanentError(
                f"column {column.name} holds {found}; {column.type} cannot hold that exactly",
                where=f"{rows.name}, for table {table}",
                remedy="convert the column to the contract's type before landing it",
            )


def fitted(rows: Rows, columns: pa.Schema, *, row_number: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows as exactly these of their columns in these types, batch by batch; memory holds about one batch.

    ``row_number``: name of a column that is added at the end and counts the rows from 0.
    """
    first = 0
    for batch in rows.batches():
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            piece = batch.slice(start, _ROWS_AT_ONCE)
            arrays = [piece.column(column.name).cast(column.type) for column in columns]
            shaped = pa.RecordBatch.from_arrays(arrays, schema=columns)
            yield shaped if row_number is None else numbered(shaped, row_number, first)
            first += piece.num_rows


def numbered(batch: pa.RecordBatch, name: str, first: int) -> pa.RecordBatch:
    """The batch with a column at its end that counts its rows from ``first``."""
    return batch.append_column(name, pa.array(np.arange(first, first + batch.num_rows)))


class StrictlyRising:
    """Whether a key rises from row to row, as it does when a table is read in its order: then none comes twice."""

    def __init__(self, key: Sequence[str]) -> None:
        self._column = key[0] if len(key) == 1 else None
        self._last = pa.nulls(0)

    def __bool__(self) -> bool:
        return self._column is not None

    def see(self, batch: pa.RecordBatch) -> None:
        """Look at the next rows."""
        if self._column is None or batch.num_rows == 0:
            return
        values = batch.column(self._column)
        if len(self._last):
            values = pa.concat_arrays([self._last.cast(values.type), values])
        self._last = values[-1:]
        if values.null_count or not pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py():
            self._column = None
