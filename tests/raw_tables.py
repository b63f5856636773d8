"""Raw tables of every contract for tests, without Dagster, and rows that keep their contracts.

Belongs here: what several folders of tests need to make rows. Not here: what is asserted of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import polars as pl

import shopsphere_assets.contracts
from resources.reading import POSITION, Chunk
from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable

CURSORS = ("updated_at", "modified_at", "received_at", "requested_at", "occurred_at")

# What matches the patterns that contracts demand.
_MATCHING = {
    "crm_contact_id": "C0012345",
    "loyalty_number": "0123456789",
    "phone": "+49 (30) 123-4567",
    "postal_code": "10115",
    "language": "de",
}


def _contracts() -> list[type[Contract]]:
    for module in pkgutil.iter_modules(shopsphere_assets.contracts.__path__):
        importlib.import_module(f"{shopsphere_assets.contracts.__name__}.{module.name}")
    ours = [c for c in Contract.__subclasses__() if c.__module__.startswith(shopsphere_assets.contracts.__name__)]
    return sorted(ours, key=lambda c: (c.__module__, c.__name__))


def raw_table(contract: type[Contract], read: DatabaseRead | None = None) -> RawTable:
    """The raw table of ``contract``: its key is the first column."""
    columns = list(contract.to_schema().columns)
    source = contract.__module__.rpartition(".")[2]
    name = "".join("_" + c.lower() if c.isupper() else c for c in contract.__name__).lstrip("_")
    cursor = next(c for c in CURSORS if c in columns)
    return RawTable(source, name, contract, (columns[0],), cursor, read or DatabaseRead(name))


ALL_TABLES = [raw_table(contract) for contract in _contracts()]


def good_row(table: RawTable) -> dict[str, str | None]:
    """A row, as text, that keeps the contract in every column."""
    return {name: _good_value(table, name, dtype) for name, dtype in table.column_types.items()}


def _good_value(table: RawTable, name: str, dtype: pl.DataType) -> str:
    rules: dict[str, dict[str, Any]] = {
        str(c.name): c.statistics for c in table.contract.to_schema().columns[name].checks
    }
    if "isin" in rules:
        return str(rules["isin"]["allowed_values"][0])
    if "email_format" in rules:
        return "ada.lovelace@example.org"
    if "str_matches" in rules:
        return _MATCHING[name]
    if "str_startswith" in rules:
        return str(rules["str_startswith"]["string"]) + "x"
    if dtype == pl.String:
        return "Lovelace1"
    if isinstance(dtype, pl.Datetime):
        return "2026-03-01T10:00:00.000Z"
    return {"Date": "2026-02-28", "Boolean": "true", "Decimal": "1.00"}.get(dtype.base_type().__name__) or (
        "200" if name == "status_code" else "1"
    )


def text_chunk(table: RawTable, *rows: dict[str, str | None]) -> Chunk:
    """The rows as a source gives them whose every value is text, with their positions ``line:1`` …"""
    schema = dict.fromkeys(table.column_types, pl.String())
    frame = pl.DataFrame(list(rows), schema=schema, orient="row")
    positions = pl.Series(POSITION, [f"line:{n}" for n in range(1, len(rows) + 1)], dtype=pl.String)
    return Chunk(frame.with_columns(positions), bytes_read=0)
