"""What a raw table is: one declaration per table, from which everything else about it follows.

The asset, its checks, its place in the sensor, the warehouse table and the way it is read are all derived
from a :class:`RawTable`; there is no second list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from resources.file_source import FileFormat
from resources.http_source import Endpoint
from resources.warehouse import TableDefinition
from shopsphere_assets.contracts.base import Contract

BATCH_ID = "_batch_id"
POSITION = "_position"
LOADED_AT = "_loaded_at"
DELETED_AT = "_deleted_at"


@dataclass(frozen=True)
class DatabaseRead:
    """Read from a database table, or from a query.

    ``relation``: the physical table, possibly qualified by a schema. ``query``: a SELECT in the source's own
    dialect, instead of a table. ``columns``: SQL expression per contract column; one that is not named is read
    under its own name where the source has it. ``is_incremental``: whether to read only what lies behind the
    watermark.
    """

    relation: str = ""
    query: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    is_incremental: bool = True


@dataclass(frozen=True)
class HttpRead:
    """Read from an HTTP API: the records of all ``endpoints`` together, such as active and archived ones.

    ``is_append_only``: what is there never changes, and what is no longer listed has only grown old.
    """

    endpoints: tuple[Endpoint, ...]
    is_append_only: bool = False


@dataclass(frozen=True)
class FileRead:
    """Read files of one format below the source's folder, each once by content."""

    pattern: str
    format: FileFormat


@dataclass(frozen=True)
class RawTable:
    """One table of one source system.

    ``key``: primary key columns. ``cursor``: the column whose highest value is the watermark; of two versions
    of a row the one with the higher cursor holds. ``keeps_versions``: whether the versions that a row had are kept
    in a table of their own; the raw table holds the last one only.
    """

    source: str
    name: str
    contract: type[Contract]
    key: tuple[str, ...]
    cursor: str
    read: DatabaseRead | HttpRead | FileRead
    keeps_versions: bool = False

    @property
    def label(self) -> str:
        """``source/table``, for messages."""
        return f"{self.source}/{self.name}"

    @property
    def asset_key(self) -> list[str]:
        """Path of the table's asset key."""
        return ["raw", self.source, self.name]

    @cached_property
    def column_types(self) -> dict[str, pl.DataType]:
        """The contract's columns and their polars types, in order."""
        schema = self.contract.to_schema()
        return {name: column.dtype.type for name, column in schema.columns.items()}

    @cached_property
    def column_descriptions(self) -> dict[str, str]:
        """The contract's columns and what they mean."""
        schema = self.contract.to_schema()
        return {name: column.description or "" for name, column in schema.columns.items()}

    @cached_property
    def required_columns(self) -> list[str]:
        """Columns that may not be null."""
        return [n for n, c in self.contract.to_schema().columns.items() if not c.nullable]

    @cached_property
    def enumerated_columns(self) -> list[str]:
        """Columns of which the contract lists every value."""
        columns = self.contract.to_schema().columns.items()
        return [name for name, column in columns if any(check.name == "isin" for check in column.checks)]

    def column_metadata(self, name: str) -> dict[str, Any]:
        """What the contract says of a column: unit, kind of personal data, purposes."""
        return dict(self.contract.to_schema().columns[name].metadata or {})

    @cached_property
    def landed_columns(self) -> pa.Schema:
        """The columns of a landed file; what is the same for the whole batch stands in its manifest instead.

        In a database the key says where a row stands.
        """
        names = [*self.column_types, *(() if isinstance(self.read, DatabaseRead) else (POSITION,))]
        return pa.schema([self.definition.columns.field(name) for name in names])

    @cached_property
    def definition(self) -> TableDefinition:
        """The table in the warehouse: the contract's columns and where each row came from."""
        frame = pl.DataFrame(schema={**self.column_types, BATCH_ID: pl.String, POSITION: pl.String})
        arrow = [_plain_text(f) for f in frame.to_arrow().schema]
        arrow += [pa.field(name, pa.timestamp("us", tz="UTC")) for name in (LOADED_AT, DELETED_AT)]
        return TableDefinition(
            schema="raw",
            name=f"{self.source}__{self.name}",
            columns=pa.schema(arrow),
            key=self.key,
            comment=(self.contract.__doc__ or "").strip(),
            column_comments={
                **self.column_descriptions,
                BATCH_ID: "The batch that brought the row or marked it.",
                POSITION: "Where the row stands in its source; null where the key says it.",
                LOADED_AT: "When that batch began.",
                DELETED_AT: "When the row was found to be gone from the source; null while it is there.",
            },
        )

    @cached_property
    def versions(self) -> TableDefinition:
        """The table of the versions that the rows had: shaped as the raw table, one row per key and cursor."""
        comments = {DELETED_AT: "When the row was found to be gone from the source, after this or a later version."}
        return replace(
            self.definition,
            name=f"{self.definition.name}__versions",
            key=(*self.key, self.cursor),
            comment=f"{self.definition.comment} Every version of each row that was read.",
            column_comments={**self.definition.column_comments, **comments},
        )

    @property
    def definitions(self) -> list[TableDefinition]:
        """All tables that it has in the warehouse."""
        return [self.definition, *([self.versions] if self.keeps_versions else [])]


def database_table(
    source: str, name: str, contract: type[Contract], key: str, *, keeps_versions: bool = False
) -> RawTable:
    """A raw table read from the database table of its own name, by its column ``updated_at``."""
    read = DatabaseRead(name)
    return RawTable(source, name, contract, (key,), cursor="updated_at", read=read, keeps_versions=keeps_versions)


@dataclass(frozen=True)
class SourceSystem:
    """A source system and its raw tables."""

    name: str
    title: str
    description: str
    tables: tuple[RawTable, ...]


def _plain_text(column: pa.Field) -> pa.Field:
    text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return pa.field(column.name, pa.string() if text else column.type)
