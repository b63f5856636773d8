"""Another company's shop: a YAML file that maps its tables or queries to the raw tables.

With ``SHOPSPHERE_SOURCES_FILE`` set, the sources and tables that the file names exist and no others. The
file is read when the definitions are loaded; it holds no secrets.

.. code-block:: yaml

    sources:
      shop_db:
        tables:
          orders:
            table: sales.orders          # or  query: SELECT ...
            columns:                     # contract column: SQL expression in the source's dialect
              order_id: id
              currency: "'USD'"
            incremental: false           # default true: read behind the watermark
      hubspot: {}                        # every table as it comes
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resources.errors import PermanentError
from resources.settings import load_settings
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable, SourceSystem


class TableMapping(BaseModel):
    """How one raw table is read from another schema."""

    model_config = ConfigDict(extra="forbid")

    table: str | None = None
    query: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    incremental: bool = True

    @model_validator(mode="after")
    def _one_relation(self) -> TableMapping:
        if self.table and self.query:
            raise ValueError("give either 'table' or 'query', not both")
        return self


class SourceMapping(BaseModel):
    """Which tables of a source system exist, and how they are read; without tables: all, as they come."""

    model_config = ConfigDict(extra="forbid")

    tables: dict[str, TableMapping | None] | None = None


class SourcesFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    sources: dict[str, SourceMapping | None]


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, and no entry twice: of two the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"'{key.value}' stands twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_sources_file(path: Path) -> SourcesFile:
    """The parsed file. Raises :class:`PermanentError` that names the line or entry that is wrong."""
    remedy = "correct the file; docs/how-to/your-own-shop.md shows a whole one"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise PermanentError(
            "the sources file is not UTF-8 text", where=f"{path}, line {number}", remedy="save it as UTF-8"
        ) from None
    try:
        return SourcesFile.model_validate(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise PermanentError(f"the sources file is not valid YAML: {problem}", where=line, remedy=remedy) from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc']) or 'file'}: {e['msg']}" for e in error.errors())
        raise PermanentError(f"the sources file does not fit: {wrong}", where=str(path), remedy=remedy) from None


def mapped_tables(system: SourceSystem) -> list[RawTable]:
    """The raw tables of ``system`` that exist here, as the sources file, if one is set, says they are read."""
    path = load_settings().sources_file
    return list(system.tables) if path is None else apply(_current(path), path, system)


def check_sources_file(systems: Sequence[SourceSystem]) -> None:
    """Raise :class:`PermanentError` where the sources file, if one is set, names a source that is not among these."""
    path = load_settings().sources_file
    if path is not None:
        check_sources(_current(path), systems, path)


def apply(mapping: SourcesFile, path: Path, system: SourceSystem) -> list[RawTable]:
    """The raw tables of ``system`` under ``mapping``.

    Raises :class:`PermanentError` where the mapping names a table or column that the contracts do not know.
    """
    if system.name not in mapping.sources:
        return []
    source = mapping.sources[system.name]
    if source is None or source.tables is None:
        return list(system.tables)
    known = {table.name: table for table in system.tables}
    unknown = sorted(set(source.tables) - set(known))
    if unknown:
        raise _unknown(path, f"{system.name}: no raw table {', '.join(unknown)}", sorted(known))
    return [_mapped(known[name], entry, path) for name, entry in source.tables.items()]


def _mapped(table: RawTable, entry: TableMapping | None, path: Path) -> RawTable:
    if entry is None:
        return table
    if not isinstance(table.read, DatabaseRead):
        raise PermanentError(
            f"{table.label} is not read from a database and takes no mapping",
            where=str(path),
            remedy=f"write `{table.name}:` with nothing behind it",
        )
    unknown = sorted(set(entry.columns) - set(table.column_types))
    if unknown:
        raise _unknown(path, f"{table.label}: no column {', '.join(unknown)}", list(table.column_types))
    read = DatabaseRead(
        relation=entry.table or table.read.relation,
        query=entry.query,
        columns=entry.columns,
        is_incremental=entry.incremental,
    )
    return RawTable(table.source, table.name, table.contract, table.key, table.cursor, read)


def _unreadable(path: Path, error: OSError) -> PermanentError:
    return PermanentError(
        f"the sources file cannot be read: {error.strerror}",
        where=str(path),
        remedy="correct SHOPSPHERE_SOURCES_FILE, or unset it to use the standard tables",
    )


def _unknown(path: Path, what: str, known: list[str]) -> PermanentError:
    return PermanentError(what, where=str(path), remedy=f"use one of: {', '.join(known)}")


def check_sources(mapping: SourcesFile, systems: Sequence[SourceSystem], path: Path) -> None:
    """Raise :class:`PermanentError` where ``mapping`` names a source system that there is not."""
    known = [system.name for system in systems]
    unknown = sorted(set(mapping.sources) - set(known))
    if unknown:
        raise _unknown(path, f"no source system {', '.join(unknown)}", known)


def _current(path: Path) -> SourcesFile:
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise _unreadable(path, error) from error
    return _cached(path, modified)


@cache
def _cached(path: Path, _modified: int) -> SourcesFile:
    return read_sources_file(path)
