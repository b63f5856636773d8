"""Checks of one source system: is it there, does it let us in, does it give what the contracts want.

Belongs here: what is common to all kinds of sources, APIs and folders. Databases have a module of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from resources.errors import PlatformError
from resources.file_source import FileSource
from resources.http_source import HttpSource, HubSpotSearch, SinglePage
from resources.http_source.client import RefusedError
from resources.settings import Settings
from resources.sql_source import SqlSource
from shopsphere_assets.diagnosis.databases import check_database
from shopsphere_assets.diagnosis.finding import SOURCES as AREA
from shopsphere_assets.diagnosis.finding import Finding, Status, counted, failed
from shopsphere_assets.diagnosis.samples import judge, take_sample
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.raw_table import FileRead, HttpRead, RawTable, SourceSystem

_HTTP_SAMPLE = 100
_HTTP_TIMEOUT_SECONDS = 10.0
_OF_ONE_PATH = (400, 403, 404, 405, 410)
"""HTTP statuses that say nothing of the API's other paths."""


def check_source(system: SourceSystem, tables: Sequence[RawTable], settings: Settings) -> Iterator[Finding]:
    """Findings about ``system``, of which ``tables`` exist here."""
    url = settings.source_url(system.name)
    if url is None:
        what = f"{system.title}: simulated, {counted(len(tables), 'table')}"
        yield Finding(AREA, system.name, Status.EMBEDDED, what)
        return
    try:
        source = open_source(system, settings)
        if isinstance(source, HttpSource):
            # A person waits for the answer: no long waits, few attempts.
            source = HttpSource(
                url,
                token=settings.source_token(system.name),
                timeout_seconds=_HTTP_TIMEOUT_SECONDS,
                attempts=2,
                longest_wait_seconds=2.0,
            )
    except PlatformError as error:
        yield failed(AREA, system.name, error)
        return
    match source:
        case SqlSource():
            yield from check_database(system, tables, source, settings)
        case HttpSource():
            with source, _without_notes_of_retries():
                yield from check_api(tables, source, settings)
        case FileSource():
            yield from check_folder_source(system.name, tables, source)


@contextmanager
def _without_notes_of_retries() -> Iterator[None]:
    """Keep the notes that stamina takes of each retry out of the output, which programs read."""
    before = get_on_retry_hooks()
    set_on_retry_hooks(())
    try:
        yield
    finally:
        set_on_retry_hooks(before)


def check_api(tables: Sequence[RawTable], api: HttpSource, settings: Settings) -> Iterator[Finding]:
    """Each endpoint answers with a list of records that fit the contract; asked once for a few records."""
    for table in tables:
        assert isinstance(table.read, HttpRead)
        rows = 0
        found: list[Finding] = []
        try:
            for endpoint in table.read.endpoints:
                if isinstance(endpoint.paging, HubSpotSearch):
                    # A search is walked through as a whole or not at all; its first answer must do.
                    api.has_changes(endpoint, None)
                    continue
                page = replace(endpoint, paging=SinglePage(), page_size=_HTTP_SAMPLE)
                sample = take_sample(table, api.read(page), _HTTP_SAMPLE)
                rows += sample.rows
                found += judge(table, sample, settings.quarantine_limit)
        except PlatformError as error:
            yield failed(AREA, table.label, error)
            if not (isinstance(error, RefusedError) and error.status in _OF_ONE_PATH):
                # The other tables would give the same answer, or none again after a wait.
                return
            continue
        answer = f"answers; {counted(rows, 'record')} sampled" if rows else "answers"
        yield Finding(AREA, table.label, Status.OK, answer)
        yield from found


def check_folder_source(name: str, tables: Sequence[RawTable], folder: FileSource) -> Iterator[Finding]:
    """The folder can be listed, and for each table there are files that can be read."""
    for table in tables:
        assert isinstance(table.read, FileRead)
        pattern = table.read.pattern
        try:
            folder.fingerprint(pattern)
        except PlatformError as error:
            yield failed(AREA, name, error)
            return
        files = [path for path in folder.root.glob(pattern) if path.is_file()]
        closed = [path for path in files if not os.access(path, os.R_OK)]
        if closed:
            yield Finding(
                AREA,
                table.label,
                Status.FAILED,
                f"{counted(len(closed), 'file')} may not be read, e.g. {closed[0]}",
                "give this user the right to read them",
            )
        elif files:
            what = f"{counted(len(files), 'file')} as {pattern} in {folder.root}"
            yield Finding(AREA, table.label, Status.OK, what)
        else:
            yield Finding(
                AREA,
                table.label,
                Status.WARNING,
                f"no file {pattern} in {folder.root} yet",
                "nothing, if files are still to come; else check the folder and the files' names",
            )
