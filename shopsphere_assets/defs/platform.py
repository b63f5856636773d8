"""The resource that gives assets and sensors the platform's connections.

A thin wrapper: settings and connections are plain objects of ``resources``; nothing connects before it is used.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg

from resources.errors import PermanentError, TransientError
from resources.settings import Settings, load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.ingestion.batch import Destination
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.extract import Source
from shopsphere_assets.ingestion.raw_table import SourceSystem

_RETRIES = 3
_FIRST_RETRY_SECONDS = 2.0


class Platform(dg.ConfigurableResource[None]):
    """Settings, sources, warehouse and lake of this environment."""

    @property
    def settings(self) -> Settings:
        """The settings, read anew: a daemon lives longer than a correction of the environment file."""
        return load_settings()

    def warehouse(self, *, lock_timeout: float = 300.0) -> Warehouse:
        """The warehouse. ``lock_timeout``: seconds to wait for another writer."""
        return open_warehouse(self.settings.warehouse, lock_timeout=lock_timeout)

    def destination(self) -> Destination:
        """Where batches go."""
        return Destination(self.warehouse(), self.settings.lake)

    def source(self, system: SourceSystem) -> Source:
        """The connection to a source system. Raises :class:`PlatformError` where its settings do not do."""
        return open_source(system, self.settings)

    @property
    def lookback(self) -> timedelta:
        """How far behind the watermark late rows are looked for."""
        return timedelta(hours=self.settings.lookback_hours)


@contextmanager
def faults(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Tell Dagster to try again after a passing fault, with back-off, and to fail at once after a permanent one."""
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"what": error.what, "where": error.where, "what to do": error.remedy},
            allow_retries=False,
        ) from error
    except TransientError as error:
        context.log.warning(str(error))
        raise dg.RetryRequested(_RETRIES, seconds_to_wait=_wait(context.retry_number)) from error


def _wait(retry_number: int) -> float:
    """Seconds before the next try: doubling, and spread so that not all tables come back at once."""
    return _FIRST_RETRY_SECONDS * 2.0**retry_number * random.uniform(0.5, 1.5)
