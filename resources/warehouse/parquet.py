"""Parquet files on their way into a table: do their columns fit without loss?

Shared by the engines so that both accept and refuse the same files. How the rows get in is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import PermanentError
from resources.warehouse.base import TableDefinition

_UNITS = ("s", "ms", "us", "ns")


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


def checked_columns(table: TableDefinition, files: Iterable[Path]) -> set[str]:
    """The table's columns that at least one file has; raises if a file does not fit the table."""
    present: set[str] = set()
    for file in files:
        try:
            schema = pq.read_schema(file)
        except FileNotFoundError as error:
            raise PermanentError(
                "a landed file is missing",
                where=f"{file}, for table {table}",
                remedy="read the batch from its source again",
            ) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise PermanentError(
                f"a landed file cannot be read as Parquet: {error}",
                where=f"{file}, for table {table}",
                remedy="remove the file and read the batch from its source again",
            ) from error
        missing = [name for name in table.key if name not in schema.names]
        if missing:
            raise PermanentError(
                f"a landed file lacks the key column {', '.join(missing)}",
                where=f"{file}, for table {table}",
                remedy="map the key column in the source's description",
            )
        for column in table.columns:
            index = schema.get_field_index(column.name)
            if index < 0:
                continue
            present.add(column.name)
            found = schema.field(index).type
            if not fits_without_loss(found, column.type):
                raise PermanentError(
                    f"column {column.name} holds {found} in the file; {column.type} cannot hold that exactly",
                    where=f"{file}, for table {table}",
                    remedy="convert the column to the contract's type before landing it",
                )
    return present
