"""Raw tables: one module per source system declares its tables; the factory makes assets and the sensor."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from shopsphere_assets.ingestion.raw_table import SourceSystem


@cache
def source_systems() -> tuple[SourceSystem, ...]:
    """Every source system that a module of this package declares."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return tuple(v for module in modules for v in vars(module).values() if isinstance(v, SourceSystem))
