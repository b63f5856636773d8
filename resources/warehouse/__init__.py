"""The warehouse: one interface, several engines, chosen by URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from resources.errors import PermanentError, safe_url
from resources.warehouse.base import (
    KEPT_PUBLICATIONS,
    LOCK_TIMEOUT_SECONDS,
    Publication,
    Rows,
    TableDefinition,
    Transaction,
    Warehouse,
)
from resources.warehouse.rows import ParquetRows

__all__ = [
    "KEPT_PUBLICATIONS",
    "LOCK_TIMEOUT_SECONDS",
    "ParquetRows",
    "Publication",
    "Rows",
    "TableDefinition",
    "Transaction",
    "Warehouse",
    "open_warehouse",
]


def open_warehouse(url: str, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Warehouse:
    """The warehouse at ``url``; nothing is connected or created yet.

    ``duckdb:///absolute/path.duckdb`` (optionally ``?memory_limit=1GB&threads=2``) or
    ``postgresql://user:password@host:port/database``. ``lock_timeout``: seconds a writer waits for another.
    """
    scheme = urlsplit(url).scheme
    # Each engine's driver is only loaded when that engine is used.
    if scheme == "duckdb":
        from resources.warehouse.duckdb_engine import DuckDBWarehouse

        return DuckDBWarehouse(url, lock_timeout=lock_timeout)
    if scheme in ("postgresql", "postgres"):
        from resources.warehouse.postgres_engine import PostgresWarehouse

        return PostgresWarehouse(url, lock_timeout=lock_timeout)
    raise PermanentError(
        f"there is no warehouse engine for {scheme or 'an empty scheme'!r}",
        where=safe_url(url) or "the warehouse's URL",
        remedy="use duckdb:///absolute/path.duckdb or postgresql://user:password@host:port/database",
    )
