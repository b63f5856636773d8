"""Checks of the sources file by itself: what it names must be known here. Live databases are looked at elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from resources.errors import PlatformError
from resources.settings import Settings
from shopsphere_assets.diagnosis.finding import Finding, Status, counted, failed, listed, suggestion
from shopsphere_assets.ingestion.mapping import SourceMapping, SourcesFile, TableMapping, apply, read_sources_file
from shopsphere_assets.ingestion.raw_table import RawTable, SourceSystem

AREA = "Sources file"

Tables = dict[str, list[RawTable]]
"""The raw tables that exist here, by source system."""


def existing_tables(settings: Settings, systems: Sequence[SourceSystem]) -> tuple[Tables, list[Finding]]:
    """The raw tables that exist here and can be looked at, and what is wrong with the sources file."""
    path = settings.sources_file
    if path is None:
        return {system.name: list(system.tables) for system in systems}, []
    try:
        mapping = read_sources_file(path)
    except PlatformError as error:
        return {}, [failed(AREA, "sources file", error)]
    tables: Tables = {}
    findings = []
    known = {system.name: system for system in systems}
    for name, source in mapping.sources.items():
        if name not in known:
            findings.append(_unknown(name, "there is no source system of this name", known))
            continue
        tables[name], wrong = _tables_of(known[name], source or SourceMapping(), path)
        findings += wrong
    for name in known:
        if name not in mapping.sources and settings.source_url(name):
            findings.append(
                Finding(
                    AREA,
                    name,
                    Status.WARNING,
                    f"SHOPSPHERE_{name.upper()}_URL is set, but the sources file does not name {name}: nothing is read",
                    f"add `{name}: {{}}` to its sources, or unset the variable",
                )
            )
    summary = _summary(path, tables, known)
    for name in tables:
        contradictions = _contradictions(name, mapping.sources[name] or SourceMapping(), settings)
        if contradictions:
            tables[name] = []
            findings += contradictions
    return tables, [summary, *findings]


def _summary(path: Path, tables: Tables, known: dict[str, SourceSystem]) -> Finding:
    named = [f"{name} ({counted(len(of_source), 'table')})" for name, of_source in tables.items()]
    absent = [name for name in known if name not in tables]
    what = f"{path} names {listed(named) or 'no source'}"
    if absent:
        what += f"; absent here: {', '.join(absent)}"
    return Finding(AREA, "sources file", Status.OK if named else Status.WARNING, what)


def _tables_of(system: SourceSystem, source: SourceMapping, path: Path) -> tuple[list[RawTable], list[Finding]]:
    """The tables of a source that are mapped without a mistake, and the mistakes of the others."""
    if source.tables is None:
        return list(system.tables), []
    known = {table.name: table for table in system.tables}
    tables = []
    findings = []
    for name, entry in source.tables.items():
        subject = f"{system.name}/{name}"
        if name not in known:
            findings.append(_unknown(subject, "there is no raw table of this name", known))
            continue
        columns = known[name].column_types
        unknown = [column for column in (entry.columns if entry else ()) if column not in columns]
        findings += [_unknown(f"{subject}.{c}", "the raw table has no such column", columns) for c in unknown]
        try:
            tables += apply(_only(system.name, name, _without(entry, unknown)), path, system)
        except PlatformError as error:
            findings.append(failed(AREA, subject, error))
    return tables, findings


def _without(entry: TableMapping | None, columns: list[str]) -> TableMapping | None:
    """The entry without some columns, so that the others can still be looked at."""
    if entry is None or not columns:
        return entry
    return entry.model_copy(update={"columns": {n: e for n, e in entry.columns.items() if n not in columns}})


def _only(source: str, table: str, entry: TableMapping | None) -> SourcesFile:
    return SourcesFile(sources={source: SourceMapping(tables={table: entry})})


def _contradictions(name: str, source: SourceMapping, settings: Settings) -> list[Finding]:
    """A source that is mapped but has no address would be the simulated one, which the mapping does not fit."""
    mapped = [table for table, entry in (source.tables or {}).items() if entry is not None]
    if not mapped or settings.source_url(name):
        return []
    variable = f"SHOPSPHERE_{name.upper()}_URL"
    return [
        Finding(
            AREA,
            name,
            Status.FAILED,
            f"the sources file maps {listed(mapped)}, but {variable} is not set",
            f"set {variable} to the URL of the database",
        )
    ]


def _unknown(subject: str, what: str, known: Iterable[str]) -> Finding:
    name = subject.replace("/", ".").rpartition(".")[2]
    return Finding(AREA, subject, Status.FAILED, what, suggestion(name, known))
