"""Opens the connection to a source system that the settings name."""

from __future__ import annotations

from collections.abc import Sequence

from resources.change_log import ChangeLog, open_change_log
from resources.errors import PermanentError
from resources.file_source import FileSource
from resources.http_source import HttpSource
from resources.settings import Settings
from resources.sql_source import SqlSource
from shopsphere_assets.ingestion.changes import logged_table
from shopsphere_assets.ingestion.extract import Source
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable, SourceSystem


def open_source(system: SourceSystem, settings: Settings) -> Source:
    """The connection to ``system``; nothing is connected yet.

    Raises :class:`PermanentError` where its URL is not set or is of the wrong kind.
    """
    url = settings.source_url(system.name)
    if not url:
        raise PermanentError(
            f"no address is set for {system.title}",
            where=f"SHOPSPHERE_{system.name.upper()}_URL",
            remedy="set it to the system's URL, or run `shopsphere demo` or `shopsphere run` without any source "
            "set to use the simulated shop",
        )
    match system.tables[0].read:
        case DatabaseRead():
            return SqlSource(url)
        case HttpRead():
            return HttpSource(
                url,
                token=settings.source_token(system.name),
                requests_per_second=settings.requests_per_second,
            )
        case FileRead():
            return FileSource(url)


def open_source_log(
    system: SourceSystem, tables: Sequence[RawTable], settings: Settings
) -> tuple[SqlSource, ChangeLog] | None:
    """The database ``system`` and its change log for ``tables``; None where its changes are asked for instead.

    Nothing is connected yet. Raises :class:`PermanentError` where its URL is not set, the database has no change
    log, or a table is not read as it stands.
    """
    if settings.capture(system.name) != "log":
        return None
    source = open_source(system, settings)
    if not isinstance(source, SqlSource):
        raise TypeError(f"{system.name} is no database")
    logged = [logged_table(table, source) for table in tables]
    return source, open_change_log(settings.source_url(system.name) or "", logged, name=settings.change_log_name)
