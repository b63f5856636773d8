"""Which column of which upstream table each column of a model is made of.

Read off the compiled SQL by sqlglot, and kept by content, since a model's lineage only changes when its SQL
or the columns of what it reads change.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage

log = logging.getLogger(__name__)

_SQLGLOT_VERSION = version("sqlglot")

ColumnSources = dict[str, list[tuple[str, str]]]
"""Per column of a model: (unique id of the upstream model or source, its column)."""


class ColumnLineage:
    """The column lineage of the models of one manifest.

    ``columns``: the columns of every model and source, by unique id. ``cache``: folder for what was read off
    before.
    """

    def __init__(self, manifest: Mapping[str, Any], columns: Mapping[str, list[str]], cache: Path) -> None:
        self._manifest = manifest
        self._columns = columns
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def of(self, unique_id: str, compiled: Path) -> ColumnSources | None:
        """The lineage of a model by its SQL in ``compiled``, dbt's folder of compiled files.

        None where there is no compiled SQL, or where sqlglot cannot follow it, which is logged.
        """
        node = self._manifest["nodes"][unique_id]
        file = compiled / node["package_name"] / node["original_file_path"]
        if not file.exists():
            return None
        sql, dialect = file.read_text(), self._manifest["metadata"]["adapter_type"]
        parents = {p: self._columns[p] for p in sorted(set(node["depends_on"]["nodes"])) if p in self._columns}
        key = hashlib.sha256(json.dumps([_SQLGLOT_VERSION, dialect, sql, parents]).encode()).hexdigest()[:32]
        kept = self._cache / f"{key}.json"
        if kept.exists():
            known: ColumnSources = json.loads(kept.read_text())
            return known
        try:
            sources = _read_off(sql, dialect, self._manifest, parents)
        except (SqlglotError, ValueError) as error:
            log.warning("no column lineage of %s: %s", node["name"], error)
            return None
        kept.write_text(json.dumps(sources))
        return sources


def _read_off(sql: str, dialect: str, manifest: Mapping[str, Any], parents: Mapping[str, list[str]]) -> ColumnSources:
    schema: dict[str, Any] = {}
    by_table: dict[tuple[str, str], str] = {}
    for unique_id, names in parents.items():
        node = manifest["sources"].get(unique_id) or manifest["nodes"][unique_id]
        table = node.get("identifier") or node.get("alias") or node["name"]
        schema.setdefault(node["schema"], {})[table] = dict.fromkeys(names, "text")
        by_table[(node["schema"], table)] = unique_id
    statement = sqlglot.parse_one(sql, dialect=dialect)
    for table in statement.find_all(exp.Table):
        table.set("catalog", None)
    # All columns in one call: one call per column would resolve the whole statement anew each time.
    columns = lineage(None, statement, schema, dialect=dialect, trim_selects=False)
    sources: ColumnSources = {}
    for column, top in columns.items():
        origins: set[tuple[str, str]] = set()
        for node in top.walk():
            if node.downstream or not isinstance(node.expression, exp.Table):
                continue
            origin = by_table.get((node.expression.db, node.expression.name))
            if origin:
                origins.add((origin, exp.to_column(node.name).name))
        sources[column] = sorted(origins)
    return sources
