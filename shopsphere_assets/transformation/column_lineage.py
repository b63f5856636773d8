"""Which column of which upstream table each column of a model is made of.

Read off the compiled SQL by sqlglot, and kept by content, since a model's lineage only changes when its SQL
or the columns of what it reads change.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage

log = logging.getLogger(__name__)

ColumnSources = dict[str, list[tuple[str, str]]]
"""Per column of a model: (unique id of the upstream model or source, its column)."""


def column_lineage(
    manifest: Mapping[str, Any], compiled: Path, columns: Mapping[str, list[str]], cache: Path
) -> dict[str, ColumnSources]:
    """The column lineage of every model that has compiled SQL below ``compiled``, by unique id.

    ``columns``: the columns of every model and source, by unique id. ``cache``: folder for what was read off
    before. A model whose SQL sqlglot cannot follow is left out and logged.
    """
    cache.mkdir(parents=True, exist_ok=True)
    dialect = manifest["metadata"]["adapter_type"]
    found: dict[str, ColumnSources] = {}
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] != "model":
            continue
        file = compiled / node["package_name"] / node["original_file_path"]
        if not file.exists():
            continue
        sql = file.read_text()
        parents = {
            parent: columns[parent] for parent in sorted(set(node["depends_on"]["nodes"])) if parent in columns
        }
        key = hashlib.sha256(json.dumps([sqlglot.__version__, dialect, sql, parents]).encode()).hexdigest()[:32]
        kept = cache / f"{key}.json"
        if kept.exists():
            found[unique_id] = json.loads(kept.read_text())
            continue
        try:
            sources = _read_off(sql, dialect, manifest, parents)
        except SqlglotError as error:
            log.warning("no column lineage of %s: %s", node["name"], error)
            continue
        kept.write_text(json.dumps(sources))
        found[unique_id] = sources
    return found


def _read_off(
    sql: str, dialect: str, manifest: Mapping[str, Any], parents: Mapping[str, list[str]]
) -> ColumnSources:
    schema: dict[str, dict[str, dict[str, str]]] = {}
    by_table: dict[tuple[str, str], str] = {}
    for unique_id, names in parents.items():
        node = manifest["sources"].get(unique_id) or manifest["nodes"][unique_id]
        table = node.get("identifier") or node.get("alias") or node["name"]
        schema.setdefault(node["schema"], {})[table] = dict.fromkeys(names, "text")
        by_table[(node["schema"], table)] = unique_id
    statement = sqlglot.parse_one(sql, dialect=dialect)
    for table in statement.find_all(exp.Table):
        table.set("catalog", None)
    qualified = sqlglot.optimizer.qualify.qualify(
        statement, schema=schema, dialect=dialect, validate_qualify_columns=False
    )
    assert isinstance(qualified, exp.Query)
    text = qualified.sql(dialect=dialect)
    sources: ColumnSources = {}
    for column in qualified.named_selects:
        origins: set[tuple[str, str]] = set()
        for node in lineage(column, text, schema=schema, dialect=dialect).walk():
            if node.downstream or not isinstance(node.expression, exp.Table):
                continue
            origin = by_table.get((node.expression.db, node.expression.name))
            if origin:
                origins.add((origin, exp.to_column(node.name).name))
        sources[column] = sorted(origins)
    return sources
