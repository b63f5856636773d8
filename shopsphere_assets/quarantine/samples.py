"""Draws stratified samples of rows for manual review: valid rows, corrected rows, and rows of each broken rule.

Within a stratum every row has the same chance: rows are ordered by a hash of seed and identity and the first are
taken. The same seed draws the same rows from the same data, on either engine.

Does not belong here: verdicts on drawn rows (``reviews``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from resources.warehouse.base import Rows
from resources.warehouse.system_tables import SAMPLES
from shopsphere_assets.ingestion.coerce import as_text
from shopsphere_assets.ingestion.ledger import utc_now
from shopsphere_assets.ingestion.raw_table import DELETED_AT, RawTable
from shopsphere_assets.quarantine.entries import Filter, Quarantine, count_rules

VALID, CORRECTED = "valid", "corrected"


@dataclass(frozen=True)
class Stratum:
    """What was drawn from: how many rows it has, how many were drawn, and how many of these were not before."""

    source: str
    table_name: str
    stratum: str
    rows: int
    drawn: int
    new: int


def draw(quarantine: Quarantine, labels: Sequence[str], *, size: int, seed: int = 0) -> list[Stratum]:
    """Draw up to ``size`` rows from every stratum of the tables ``labels`` and keep them in ``quality.samples``."""
    warehouse = quarantine.warehouse
    known = set(warehouse.query("SELECT sample_id FROM quality.samples").column(0).to_pylist())
    result: list[Stratum] = []
    samples: list[dict[str, Any]] = []
    for label in labels:
        table = quarantine.tables[label]
        warehouse.ensure_tables(table.definitions)
        strata = [(name, *_loaded_rows(quarantine, table, name, size, seed)) for name in (VALID, CORRECTED)]
        wanted = Filter(state="all", source=table.source, table=table.name)
        for count in count_rules(quarantine, wanted):
            strata.append((count.rule, count.entries, _quarantined_rows(quarantine, table, count.rule, size, seed)))
        for name, total, drawn in strata:
            rows = _samples(table, name, total, drawn)
            new = sum(row["sample_id"] not in known for row in rows)
            samples += rows
            if total:
                result.append(Stratum(table.source, table.name, name, total, len(rows), new))
    if samples:
        with warehouse.transaction() as transaction:
            transaction.add_missing(SAMPLES, _TableRows(pa.Table.from_pylist(samples, schema=SAMPLES.columns)))
    return result


@dataclass(frozen=True)
class _Drawn:
    row_key: str
    payload: str
    quarantine_id: str | None = None


def _loaded_rows(
    quarantine: Quarantine, table: RawTable, stratum: str, size: int, seed: int
) -> tuple[int, list[_Drawn]]:
    """How many rows of raw the stratum has, and the drawn ones."""
    key = " || '|' || ".join(f'CAST(r."{name}" AS text)' for name in table.key)
    corrected = (
        "SELECT row_key FROM quality.corrections WHERE source = $1 AND table_name = $2 AND is_applied"
        " AND row_key IS NOT NULL"
    )
    is_in = "IN" if stratum == CORRECTED else "NOT IN"
    where = f'r."{DELETED_AT}" IS NULL AND {key} {is_in} ({corrected})'
    own = [table.source, table.name]
    query = quarantine.warehouse.query
    total = int(query(f"SELECT count(*) AS n FROM {table.definition} AS r WHERE {where}", own).column(0)[0].as_py())
    columns = ", ".join(f'r."{name}"' for name in table.column_types)
    found = query(
        f"SELECT {key} AS _drawn_key, {columns} FROM {table.definition} AS r WHERE {where}"
        f" ORDER BY md5('{int(seed)} ' || {key}) LIMIT {int(size)}",
        own,
    )
    frame = pl.DataFrame(found)
    texts = {name: as_text(frame.get_column(name)).to_list() for name in table.column_types}
    return total, [
        _Drawn(row_key, json.dumps({name: texts[name][n] for name in texts}, ensure_ascii=False))
        for n, row_key in enumerate(frame.get_column("_drawn_key").to_list())
    ]


def _quarantined_rows(quarantine: Quarantine, table: RawTable, rule: str, size: int, seed: int) -> list[_Drawn]:
    found = quarantine.warehouse.query(
        "SELECT quarantine_id, row_key, payload FROM quarantine.rows"
        " WHERE source = $1 AND table_name = $2 AND strpos(reasons, $3) > 0"
        f" ORDER BY md5('{int(seed)} ' || quarantine_id) LIMIT {int(size)}",
        [table.source, table.name, f'"rule":{json.dumps(rule)}'],
    )
    return [_Drawn(**row) for row in found.to_pylist()]


def _samples(table: RawTable, stratum: str, total: int, drawn: Sequence[_Drawn]) -> list[dict[str, Any]]:
    now = utc_now()
    return [
        {
            "sample_id": _sample_id(table, stratum, each),
            "drawn_at": now,
            "source": table.source,
            "table_name": table.name,
            "stratum": stratum,
            "stratum_rows": total,
            "row_key": each.row_key,
            "quarantine_id": each.quarantine_id,
            "payload": each.payload,
        }
        for each in drawn
    ]


def _sample_id(table: RawTable, stratum: str, drawn: _Drawn) -> str:
    """The same row, as it stands, drawn again is the same one."""
    parts = (table.label, stratum, drawn.quarantine_id or drawn.row_key, drawn.payload)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


class _TableRows(Rows):
    """The rows of a table in memory."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self.columns = rows.schema
        self.name = "drawn rows"

    def batches(self) -> Any:
        """See :meth:`Rows.batches`."""
        return iter(self._rows.to_batches())
