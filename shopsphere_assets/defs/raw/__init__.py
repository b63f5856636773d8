"""Raw tables: one module per source system declares its tables; the factory makes assets and the sensor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from resources.errors import PermanentError
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.ingestion.raw_table import RawTable, SourceSystem


@cache
def source_systems() -> tuple[SourceSystem, ...]:
    """Every source system that a module of this package declares."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return tuple(v for module in modules for v in vars(module).values() if isinstance(v, SourceSystem))


def chosen_tables(labels: Sequence[str] | None, where: str = "--table") -> list[tuple[SourceSystem, RawTable]]:
    """The source systems and tables with these labels (``source/table``), or all that exist here.

    ``where``: what a person wrote them in. Raises :class:`PermanentError` for one that there is not.
    """
    known = {t.label: (system, t) for system in source_systems() for t in mapped_tables(system)}
    unknown = sorted(set(labels or ()) - known.keys())
    if unknown:
        raise PermanentError(
            f"no raw table {', '.join(unknown)}", where=where, remedy=f"use one of: {', '.join(known)}"
        )
    return [known[label] for label in known if not labels or label in labels]
